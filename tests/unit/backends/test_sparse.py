from backends.sparse import Bm25Sparse


def test_a_repeated_word_weighs_more_in_a_document_and_once_in_a_query() -> None:
    model = Bm25Sparse()
    once, often = model.embed_documents(["vector", "vector vector vector"])
    assert once.indices == often.indices
    assert often.values[0] > once.values[0]
    assert model.embed_query("vector vector").values == [1.0]


def test_forms_of_a_word_meet() -> None:
    model = Bm25Sparse()
    [document] = model.embed_documents(["Searching INDEXES"])
    assert set(model.embed_query("index search").indices) == set(document.indices)


def test_texts_without_words_are_empty_vectors() -> None:
    model = Bm25Sparse()
    for text in ("", "   ", "the of and", "?! —"):
        assert model.embed_query(text).indices == []
        assert model.embed_documents([text])[0].values == []


def test_documents_keep_their_order() -> None:
    model = Bm25Sparse()
    texts = [f"word{number}" for number in range(20)]
    assert model.embed_documents(texts) == [model.embed_documents([text])[0] for text in texts]
