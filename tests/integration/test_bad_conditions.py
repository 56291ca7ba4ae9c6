"""Damaged data and backends that are away: what the commands say, exit with, and keep."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.ollama_server import OllamaServer
from tests.outcomes import ANSWER, ENDED_WITHIN_S, QUESTION, require, require_answer, started
from tests.qdrant_server import running_qdrant
from tests.running_service import running_service, tandem

NOBODY = "http://127.0.0.1:9"
"""Nothing listens on the port of the discard protocol."""


def lighthouse(indexed: Path) -> Path:
    return indexed.parent / "vardholm" / "lighthouse.md"


def test_a_data_folder_that_is_a_file_is_named_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("mine")
    run = tandem("index", str(write_corpus(tmp_path / "vardholm")), data_dir=place)
    require(run, 2, str(place), "TANDEM_DATA_DIR")
    assert place.read_text() == "mine"


def test_a_destroyed_manifest_is_made_anew_without_embedding_anything(indexed: Path) -> None:
    (indexed / "manifests" / "documents-1.sqlite3").write_bytes(os.urandom(8192))
    require_answer(indexed)
    run = tandem("index", "--json", str(lighthouse(indexed).parent), data_dir=indexed)
    require(run, 0)
    assert json.loads(run.stdout)["chunks_embedded"] == 0
    assert (indexed / "manifests" / "documents-1.sqlite3.damaged").exists()


@contextlib.contextmanager
def damaged(file: Path, content: bytes) -> Iterator[None]:
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(whole)


def test_a_damaged_store_ends_with_4_and_the_way_out_works(indexed: Path) -> None:
    store = indexed / "qdrant" / "documents-1"
    remedy = (str(store), "Move that folder away and run `tandem index` again")
    [tracker] = store.glob("shard/segments/*/payload_storage/tracker.dat")
    size = tracker.stat().st_size
    require_answer(indexed)  # and so its log of changes, which would heal it, is done with
    with damaged(tracker, b"\xff" * size):  # the engine panics, and writes so itself
        require(tandem("ask", QUESTION, data_dir=indexed), 4, "a thread that panicked", *remedy)
    with damaged(tracker, b"\0" * size):  # the engine takes the texts for empty
        require(tandem("ask", QUESTION, data_dir=indexed), 4, "has lost its text", "`tandem index`")

    with damaged(store / "collection.json", b"{"):
        require(tandem("index", str(lighthouse(indexed)), data_dir=indexed), 4, *remedy)
        shutil.move(store, indexed / "moved-away")
        require(tandem("index", str(lighthouse(indexed).parent), data_dir=indexed), 0)
        require_answer(indexed)
        shutil.rmtree(store)
        shutil.move(indexed / "moved-away", store)


def test_a_store_in_use_ends_with_3_and_says_by_what(indexed: Path) -> None:
    with (indexed / "qdrant" / "documents-1" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        require(tandem("ask", QUESTION, data_dir=indexed), 3, "tandem serve", "stop it first")


class FakeOllama(OllamaServer):
    """With vectors as long as nomic-embed-text's."""

    def vector(self, text: str) -> list[float]:
        short = super().vector(text)
        return short * (self.dimension // len(short))


def ollama(server: OllamaServer) -> dict[str, str]:
    return {
        "TANDEM_EMBEDDINGS__PROVIDER": "ollama",
        "TANDEM_EMBEDDINGS__BASE_URL": server.url,
    }


def test_another_embedding_model_ends_with_4_and_both_are_named(indexed: Path) -> None:
    named = ("all-MiniLM-L6-v2", "384 dim", "nomic-embed-text", "768 dim", "TANDEM_EMBEDDINGS__")
    with FakeOllama(dimension=768) as server:
        run = tandem("index", str(lighthouse(indexed)), data_dir=indexed, **ollama(server))
    require(run, 4, *named)
    require_answer(indexed)


def test_without_ollama_keywords_still_find_and_indexing_waits_for_it(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", write_corpus(tmp_path / "vardholm")
    with FakeOllama(dimension=768) as server:
        require(tandem("index", str(folder), data_dir=data, **ollama(server)), 0)
        gone = ollama(server)
    answer = tandem("ask", QUESTION, data_dir=data, **gone)
    require(answer, 0)
    assert ANSWER in answer.stdout
    assert f"Searched by keywords alone: The embedding server {server.url}" in answer.stdout
    assert answer.stderr == ""  # it is said once

    (folder / "bell.md").write_text("# The bell\n\nThe fog bell weighs 640 kilograms.\n")
    refused = tandem("index", str(folder), data_dir=data, **gone)
    require(refused, 3, server.url, "Is it running?", "TANDEM_EMBEDDINGS__BASE_URL")
    assert len(refused.stderr.splitlines()) == 1

    with FakeOllama(dimension=768) as back:
        report = tandem("index", "--json", str(folder), data_dir=data, **ollama(back))
        require(report, 0)
        assert json.loads(report.stdout)["added"] == 1
        assert json.loads(report.stdout)["unchanged"] == 4


def test_an_unreachable_qdrant_ends_with_3_and_is_named(indexed: Path) -> None:
    run = tandem("ask", QUESTION, data_dir=indexed, TANDEM_QDRANT__URL=NOBODY)
    require(run, 3, NOBODY, "TANDEM_QDRANT__URL")


def test_a_qdrant_that_is_started_with_the_service_is_waited_for(
    tmp_path: Path, free_port: int
) -> None:
    port, root = _free_port(), write_corpus(tmp_path / "vardholm")
    url = f"http://127.0.0.1:{port}"
    running = running_service(tmp_path / "data", root, free_port, TANDEM_QDRANT__URL=url)
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(running.__enter__)
        time.sleep(3)  # by then it has asked in vain
        with running_qdrant(port):
            service = started.result()
            try:
                assert f"Qdrant at {url} does not answer" in service.written()
                assert ANSWER in service.tandem("ask", QUESTION).stdout
            finally:
                running.__exit__(None, None, None)


def test_without_the_language_model_extracts_answer_labelled(indexed: Path) -> None:
    settings = {"TANDEM_LLM__BASE_URLS": f"{NOBODY}/v1", "TANDEM_PHOENIX__ENDPOINT": NOBODY}
    run = tandem("ask", "--json", QUESTION, data_dir=indexed, **settings)
    assert (run.returncode, run.stderr) == (0, "")
    output: dict[str, Any] = json.loads(run.stdout)
    assert (output["status"], output["reader"]) == ("degraded", "extractive")
    assert ANSWER in output["answer"]
    assert f"{NOBODY}/v1 cannot be reached" in output["notice"]


def test_an_unreachable_phoenix_is_no_news(indexed: Path) -> None:
    require_answer(indexed, TANDEM_PHOENIX__ENDPOINT=NOBODY)


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path, free_port: int) -> None:
    reader, writer = os.pipe()  # as a program has it that gathers logs, and hangs
    root = write_corpus(tmp_path / "vardholm")
    with running_service(tmp_path / "data", root, free_port, writer) as service:
        os.close(writer)
        with service.client() as client:
            for _ in range(50):  # twice what a pipe holds
                assert client.get(f"/nowhere/{'x' * 3_000}").status_code == 404
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(ENDED_WITHIN_S) == 0
    assert len(os.read(reader, 1 << 20)) > 40_000
    os.close(reader)


def test_two_indexers_at_once_change_nothing_of_each_other(tmp_path: Path) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    both = [started(data, "index", str(root)) for _ in range(2)]
    ended = [process.communicate(timeout=ENDED_WITHIN_S) for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    assert set(codes) <= {0, 3}, ended
    assert all("Traceback" not in errors for _, errors in ended)
    again = tandem("index", str(root), "--json", data_dir=data)
    report = json.loads(again.stdout)
    assert (again.returncode, report["chunks_embedded"], report["added"]) == (0, 0, 0)
    require_answer(data)
