"""Ollama and OpenAI-compatible embedding servers, over real HTTP, when all is well and when not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from backends.embeddings import EmbeddingFingerprint
from backends.remote_embeddings.ollama import OllamaEmbeddings
from backends.remote_embeddings.openai import OpenAIEmbeddings
from errors import EmbeddingMismatch, EmbeddingsUnavailable, TextTooLong
from tests import ollama_server
from tests.ollama_server import OllamaServer

TEXTS = ["a longer text of several words", "short", "a text of middle length", "", "one more"]


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as running:
        yield running


@pytest.fixture
async def ollama(server: OllamaServer) -> AsyncIterator[OllamaEmbeddings]:
    model = OllamaEmbeddings(
        server.url, "nomic-embed-text", batch_size=2, timeout_s=10, retry_delay_s=0
    )
    yield model
    await model.aclose()


@pytest.fixture
async def openai(server: OllamaServer) -> AsyncIterator[OpenAIEmbeddings]:
    model = OpenAIEmbeddings(
        f"{server.url}/v1",
        "nomic-embed-text",
        api_key=SecretStr("made-up-key"),
        batch_size=2,
        timeout_s=10,
        retry_delay_s=0,
    )
    yield model
    await model.aclose()


async def test_documents_come_back_in_order_with_their_prefix_in_batches(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    vectors = await ollama.aembed_documents(TEXTS)
    assert vectors == [server.vector(f"search_document: {text}") for text in TEXTS]
    assert [len(batch) for batch in server.inputs()] == [2, 2, 1]
    assert all(body["truncate"] is False for _, body, _ in server.requests)


async def test_a_query_has_the_query_prefix(server: OllamaServer, ollama: OllamaEmbeddings) -> None:
    assert await ollama.aembed_query("who?") == server.vector("search_query: who?")


async def test_no_texts_make_no_request(server: OllamaServer, ollama: OllamaEmbeddings) -> None:
    assert await ollama.aembed_documents([]) == []
    assert server.requests == []


async def test_a_long_query_is_embedded_in_pieces_that_fit(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    vector = await ollama.aembed_query("word " * 5000)
    assert len(vector) == server.dimension
    assert sum(value**2 for value in vector) == pytest.approx(1)
    pieces = [text for batch in server.inputs() for text in batch]
    assert len(pieces) == 4
    assert all(len(piece.split()) <= 2048 for piece in pieces)


async def test_the_fingerprint_holds_the_servers_digest_and_is_asked_once(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    expected = EmbeddingFingerprint(
        "nomic-embed-text", "0a109f42", 8, "search_document: |search_query: "
    )
    assert await ollama.fingerprint() == expected
    asked = len(server.requests)
    assert await ollama.fingerprint() == expected
    assert len(server.requests) == asked


async def test_a_smaller_context_on_the_server_lowers_the_limit(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    server.context_words = 512
    assert ollama.max_tokens == 2048
    await ollama.fingerprint()
    assert ollama.max_tokens == 512


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ollama_server.short_batch, "1 vectors for 2 texts"),
        (ollama_server.not_finite, "NaN"),
        (ollama_server.only_zeros, "only zeros"),
    ],
)
async def test_vectors_that_cannot_be_used_are_refused(
    server: OllamaServer,
    ollama: OllamaEmbeddings,
    failure: ollama_server.Failure,
    message: str,
) -> None:
    server.fail(failure)
    with pytest.raises(EmbeddingMismatch, match=message):
        await ollama.aembed_documents(["one", "two"])


async def test_a_dimension_that_changes_is_refused(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    await ollama.aembed_query("first")
    server.fail(ollama_server.other_dimension)
    with pytest.raises(EmbeddingMismatch, match="9 dimensions, before of 8"):
        await ollama.aembed_query("second")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_text_that_is_too_long_is_found_and_named(
    server: OllamaServer, ollama: OllamaEmbeddings, openai: OpenAIEmbeddings, kind: str
) -> None:
    server.context_words = 10
    model = {"ollama": ollama, "openai": openai}[kind]
    texts = ["fine", "also fine", "too " * 50, "fine again"]
    with pytest.raises(TextTooLong, match=r"Text 2 \('too too") as caught:
        await model.aembed_documents(texts)
    assert caught.value.position == 2


async def test_a_missing_model_says_how_to_get_it(server: OllamaServer) -> None:
    model = OllamaEmbeddings(server.url, "mxbai-embed-large")
    with pytest.raises(EmbeddingsUnavailable, match="`ollama pull mxbai-embed-large`"):
        await model.fingerprint()
    with pytest.raises(EmbeddingsUnavailable, match="`ollama pull mxbai-embed-large`"):
        await model.aembed_query("who?")
    await model.aclose()


async def test_a_crash_that_passes_goes_unnoticed(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    server.fail(ollama_server.crash)
    assert await ollama.aembed_query("who?") == server.vector("search_query: who?")


async def test_a_crash_that_stays_is_reported_after_three_attempts(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    server.fail(*[ollama_server.crash] * 9)
    with pytest.raises(EmbeddingsUnavailable, match="500: llama runner process has terminated"):
        await ollama.aembed_query("who?")
    assert len(server.requests) == 3


async def test_a_server_that_hangs_is_given_up_at_the_timeout(server: OllamaServer) -> None:
    server.fail(ollama_server.hang)
    model = OllamaEmbeddings(server.url, "nomic-embed-text", timeout_s=0.2)
    async with asyncio.timeout(30):
        with pytest.raises(EmbeddingsUnavailable, match=r"did not answer within 0\.2 s"):
            await model.aembed_query("who?")
    assert len(server.requests) == 1
    await model.aclose()


async def test_a_question_waits_for_its_vector_no_longer_than_it_may(server: OllamaServer) -> None:
    server.fail(ollama_server.hang)
    model = OllamaEmbeddings(server.url, "nomic-embed-text", timeout_s=60, query_timeout_s=0.2)
    async with asyncio.timeout(30):
        with pytest.raises(EmbeddingsUnavailable, match=r"within 0\.2 s.*QUERY_TIMEOUT_S"):
            await model.aembed_query("who?")
    await model.aclose()


async def test_a_refused_connection_names_the_address_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    model = OllamaEmbeddings(f"http://me:secret@127.0.0.1:{port}", "nomic", retry_delay_s=0)
    with pytest.raises(EmbeddingsUnavailable, match=f"http://127.0.0.1:{port}") as caught:
        await model.aembed_query("who?")
    assert "secret" not in str(caught.value)
    await model.aclose()


async def test_an_answer_that_is_not_json_says_so(
    server: OllamaServer, ollama: OllamaEmbeddings
) -> None:
    server.fail(ollama_server.not_json)
    with pytest.raises(EmbeddingsUnavailable, match="not answer with JSON"):
        await ollama.aembed_query("who?")


async def test_an_openai_server_is_sent_the_key_and_its_rows_are_put_in_order(
    server: OllamaServer, openai: OpenAIEmbeddings
) -> None:
    vectors = await openai.aembed_documents(TEXTS)
    assert vectors == [server.vector(f"search_document: {text}") for text in TEXTS]
    path, body, headers = server.requests[0]
    assert path == "/v1/embeddings"
    assert body["encoding_format"] == "float"
    assert headers["Authorization"] == "Bearer made-up-key"


async def test_an_openai_server_has_no_digest_but_states_its_context(
    server: OllamaServer, openai: OpenAIEmbeddings
) -> None:
    server.context_words = 1000
    assert (await openai.fingerprint()).digest == ""
    assert openai.max_tokens == 1000


async def test_a_wrong_base_url_says_what_to_check(server: OllamaServer) -> None:
    model = OpenAIEmbeddings(server.url, "nomic-embed-text")
    with pytest.raises(EmbeddingsUnavailable, match="usually ends in /v1"):
        await model.aembed_query("who?")
    await model.aclose()


def test_synchronous_calls_work_outside_an_event_loop(server: OllamaServer) -> None:
    model = OllamaEmbeddings(server.url, "nomic-embed-text")
    assert model.embed_query("who?") == server.vector("search_query: who?")
    assert model.embed_documents(["x"]) == [server.vector("search_document: x")]
