"""A user's mistakes: what the commands say about them, exit with, and keep."""

import json
import socket
import time
from pathlib import Path

import pytest

from tests.outcomes import (
    ANSWER,
    ENDED_WITHIN_S,
    QUESTION,
    interrupted,
    require,
    started,
)
from tests.pdf_samples import pdf
from tests.running_service import tandem


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: tandem"),
        (["answer"], "invalid choice: 'answer'"),
        (["ask"], "QUESTION"),
        (["ask", ""], "The question is empty. Ask in a sentence"),
        (["ask", " \t\n "], "The question is empty"),
        (["ask", "\udcff\udcfe"], "The question is empty"),
        (["ask", "x" * 100_000], "100,000 characters; 8,000 are allowed"),
        (["index", "/does/not/exist"], "/does/not/exist does not exist. Check the spelling"),
        (["index", "x" * 5_000], "name too long"),
        (["index", "~nobody-of-that-name/x"], "home directory"),
        (["serve", "--port", "99999"], "a port is a number from 1 to 65535"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    require(tandem(*arguments, data_dir=tmp_path), 2, said)


@pytest.mark.parametrize("command", [[], ["serve"], ["index"], ["ask"], ["status"]])
def test_every_command_explains_itself(command: list[str], tmp_path: Path) -> None:
    run = tandem(*command, "--help", data_dir=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("usage: tandem")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TANDEM_PORT", "abc"),
        ("TANDEM_EMBEDDINGS__PROVIDER", "word2vec"),
        ("TANDEM_LLM__TIMEOUT_S", "-1"),
        ("TANDEM_LLM__BASE_URLS", "192.168.0.50:8000/v1"),
        ("TANDEM_QDRANT__URL", "http://127.0.0.1:99999"),
        ("TANDEM_EMBEDDINGS", "{minilm"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_is_named(name: str, value: str, tmp_path: Path) -> None:
    require(tandem("status", data_dir=tmp_path, **{name: value}), 2, f"{name}", ".env.example")


def test_bytes_of_a_question_that_are_no_text_are_left_out(indexed: Path) -> None:
    run = tandem(
        "ask", "Who built\udcff the Vardholm\udced\udca0\udc80 lighthouse?", data_dir=indexed
    )
    require(run, 0)
    assert ANSWER in run.stdout


def test_bad_files_are_listed_with_reasons_and_hold_up_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "a folder.md").mkdir(parents=True)
    (folder / "lamp.md").write_text("# The lamp\n\nThe lamp of Vardholm weighs 640 kilograms.\n")
    (folder / "empty.md").touch()
    (folder / "dangling.md").symlink_to("/nowhere")
    (folder / "binary.md").write_bytes(bytes(range(256)) * 10)
    (folder / "page.pdf").write_text("<html><body>A page, not a PDF.</body></html>")
    whole = pdf("The bell of Vardholm was cast in 1822.")
    (folder / "bell.pdf").write_bytes(whole[: len(whole) // 2])

    first = tandem("index", str(folder), data_dir=tmp_path / "data")
    require(first, 1)
    bad = {"binary.md", "page.pdf", "bell.pdf"}
    listed = {line.split(":")[0].strip(): line for line in first.stdout.splitlines() if "/" in line}
    assert set(listed) == {f"mixed/{name}" for name in bad}
    assert "null bytes" in listed["mixed/binary.md"]
    assert "not a PDF" in listed["mixed/page.pdf"]
    status = tandem("status", "--json", data_dir=tmp_path / "data")
    documents = json.loads(status.stdout)["documents"]
    assert {d["source"] for d in documents if d["reason"]} == set(listed)

    (folder / "bell.pdf").write_bytes(whole)
    (folder / "binary.md").unlink()
    (folder / "page.pdf").unlink()
    require(tandem("index", str(folder), data_dir=tmp_path / "data"), 0)
    answer = tandem("ask", "When was the bell of Vardholm cast?", data_dir=tmp_path / "data")
    assert "1822" in answer.stdout


def test_before_anything_is_indexed_the_answer_says_so(tmp_path: Path) -> None:
    run = tandem("ask", QUESTION, data_dir=tmp_path)
    require(run, 1)
    assert "run `tandem index PATH`" in run.stdout


def test_ctrl_c_ends_indexing_with_130_and_the_next_run_completes_it(tmp_path: Path) -> None:
    folder, data = tmp_path / "islands", tmp_path / "data"
    folder.mkdir()
    for number in range(200):
        text = f"# Island {number}\n\n{f'Island {number} has {number + 3} sheep. ' * 12}\n"
        (folder / f"{number}.md").write_text(text)
    process = started(data, "index", str(folder))
    deadline = time.monotonic() + ENDED_WITHIN_S
    while not (data / "manifests" / "documents-1.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing announces that indexing has begun
    code, said, seconds = interrupted(process)
    assert (code, said) == (130, "tandem: interrupted\n")
    assert seconds < 10

    run = tandem("index", "--json", str(folder), data_dir=data)
    require(run, 0)
    report = json.loads(run.stdout)
    assert report["added"] + report["changed"] + report["unchanged"] == 200


def test_ctrl_c_ends_a_question_with_130(indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(ENDED_WITHIN_S)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process = started(indexed, "ask", QUESTION, TANDEM_LLM__BASE_URLS=url)
        with silent.accept()[0]:  # now it waits for the language model
            code, said, seconds = interrupted(process)
    assert (code, said) == (130, "tandem: interrupted\n")
    assert seconds < 10


def test_output_that_nobody_reads_any_more_is_no_error_to_speak_of(indexed: Path) -> None:
    process = started(indexed, "ask", QUESTION)
    assert process.stdout is not None
    assert process.stdout.read(1) == "V"
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=ENDED_WITHIN_S)
    assert (process.returncode, errors) == (141, "")
