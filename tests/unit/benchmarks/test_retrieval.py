import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval import (
    Unreadable,
    interval,
    ndcg,
    read_grades,
    read_lines,
    recall,
    write_corpus,
)


@pytest.mark.parametrize(
    "lines",
    [
        "query-id\tcorpus-id\tscore\nq1\td 1\t2\nq1\td2\t0\nq/2\td3\t1\n",
        "q1\td 1\t2\r\nq1\td2\t0\r\n\r\nq/2\td3\t1\r\n",
        "q1\t0\td 1\t2\nq1\t0\td2\t0\nq/2\tQ0\td3\t1.0",
    ],
)
def test_judgements_are_read_with_and_without_header_and_second_column(
    tmp_path: Path, lines: str
) -> None:
    (tmp_path / "qrels.tsv").write_bytes(lines.encode())
    assert read_grades(tmp_path / "qrels.tsv") == {"q1": {"d 1": 2, "d2": 0}, "q/2": {"d3": 1}}


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\nq1\td2\n")
    with pytest.raises(Unreadable, match="line 2"):
        read_grades(tmp_path / "qrels.tsv")
    (tmp_path / "corpus.jsonl").write_text('{"_id": 7}\n{"title": "no id"}\n')
    with pytest.raises(Unreadable, match="line 2"):
        list(read_lines(tmp_path / "corpus.jsonl"))


def test_documents_become_files_whatever_their_ids_and_titles(tmp_path: Path) -> None:
    rows = [
        {"_id": "../a/b\n", "title": " A\ntitle ", "text": "Its text."},
        {"_id": 7, "title": None, "text": "No title."},
        {"_id": "é☃", "title": "No text"},
        {"_id": "empty", "title": "", "text": " "},
        {"_id": "broken", "text": "half of a pair: \ud800"},
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ids = write_corpus(tmp_path / "corpus.jsonl", tmp_path)
    assert sorted(ids.values()) == sorted(["../a/b\n", "7", "é☃", "broken"])
    texts = {ids[name]: (tmp_path / name).read_text() for name in ids}
    assert texts["../a/b\n"] == "# A title\n\nIts text.\n"
    assert texts["7"] == "No title.\n"
    assert texts["é☃"] == "# No text\n"


def test_ndcg_is_trec_evals() -> None:
    grades = {"a": 1, "b": 2, "c": 0, "missing": 1}
    ideal = 2 + 1 / math.log2(3) + 1 / 2
    assert ndcg(["c", "b", "x", "a"], grades) == pytest.approx(
        (2 / math.log2(3) + 1 / math.log2(5)) / ideal
    )
    assert ndcg([*"0123456789", "b"], grades) == 0.0
    assert ndcg(["b", "a", "missing"], grades) == pytest.approx(1.0)


def test_recall_counts_relevant_documents_among_the_first_hundred() -> None:
    ranking = [str(number) for number in range(200)]
    assert recall(ranking, {"0": 1, "99": 2, "100": 1, "5": 0}) == pytest.approx(2 / 3)


def test_an_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    random = np.random.default_rng(1)
    few, many = interval(random.random(20)), interval(random.random(2000))
    for found in (few, many):
        assert found["low"] < found["mean"] < found["high"]
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 5
