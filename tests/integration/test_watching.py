"""Folders followed by the real command and the real service: events, store and model included."""

import contextlib
import json
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.corpus import write_corpus
from tests.ollama_server import Answer, OllamaServer
from tests.outcomes import ENDED_WITHIN_S, started
from tests.running_service import TANDEM, RunningService, environment, running_service, tandem

WITHIN_S = 60.0
BELL = "# The bell\n\nThe fog bell of Vardholm weighs {} kilograms.\n"
QUESTION = "How heavy is the fog bell of Vardholm?"


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """What the condition says once it is true; another process is waited for by asking it."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.05)
    return value


def ask(service: RunningService, question: str = QUESTION) -> dict[str, Any]:
    with service.client() as client:
        output: dict[str, Any] = client.post(
            "/ask", json={"question": question, "stream": False}
        ).json()
    return output


def watched(service: RunningService) -> list[dict[str, Any]]:
    """The followed folders, but for that of the uploads, which always is."""
    return [folder for folder in documents(service)["watching"] if folder["root"] != "uploads"]


def documents(service: RunningService) -> dict[str, Any]:
    with service.client() as client:
        status: dict[str, Any] = client.get("/documents").json()
    return status


class Lines:
    """What a process prints, line by line, as it comes."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, args=[stream], daemon=True).start()

    def until(self, part: str) -> str:
        """The next line with a part in it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {part!r} after {self.seen}") from None
            self.seen.append(line)
            if part in line:
                return line

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)


@contextlib.contextmanager
def lines_of(process: "subprocess.Popen[str]") -> Iterator[Lines]:
    """What a process prints; it has ended after the block."""
    assert process.stdout is not None
    with process:  # closes its pipes at the end
        try:
            yield Lines(process.stdout)
        finally:
            process.kill()


@contextlib.contextmanager
def watching(
    data: Path, *arguments: str, **settings: str
) -> Iterator[tuple["subprocess.Popen[str]", Lines]]:
    process = started(data, "watch", *arguments, **settings)
    with lines_of(process) as lines:
        yield process, lines


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code after Ctrl-C, and what was said to the error output."""
    process.send_signal(signal.SIGINT)
    code = process.wait(ENDED_WITHIN_S)
    return code, process.stderr.read() if process.stderr else ""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    from tests.integration.conftest import _free_port

    folder = tmp_path_factory.mktemp("watched")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


def root_of(service: RunningService) -> Path:
    return service.data_dir.parent / "vardholm"


def test_a_saved_file_answers_an_edited_one_anew_and_a_deleted_one_no_more(
    service: RunningService,
) -> None:
    bell = root_of(service) / "bell.md"
    bell.write_text(BELL.format(640))
    eventually(lambda: "640 kilograms" in ask(service)["answer"], "the new file answers")
    bell.write_text(BELL.format(725))
    output = eventually(
        lambda: (found := ask(service)) and "725 kilograms" in found["answer"] and found,
        "the edited file answers",
    )
    assert not any("640" in passage["text"] for passage in output["documents"])
    bell.unlink()
    eventually(
        lambda: not any("fog bell" in p["text"] for p in ask(service)["documents"]), "it is gone"
    )


def test_answers_and_documents_say_how_fresh_the_index_is(service: RunningService) -> None:
    eventually(lambda: documents(service)["index"]["state"] == "current", "all is indexed")
    index = ask(service, "Who built the Vardholm lighthouse?")["index"]
    assert index["state"] == "current"
    assert (index["pending"], index["behind_s"], index["reason"]) == (0, 0.0, "")
    assert index["documents"] >= 4
    assert index["checked_at"]
    (folder,) = watched(service)
    assert (folder["root"], folder["mode"], folder["problem"]) == ("vardholm", "events", "")
    with service.client() as client:
        body = {"input": {"question": "Who built the Vardholm lighthouse?"}}
        assert client.post("/rag/invoke", json=body).json()["output"]["index"] == index
    status = service.tandem("status")
    assert "freshness: current" in status.stdout
    assert "vardholm: by events" in status.stdout
    answer = service.tandem("ask", "Who built the Vardholm lighthouse?")
    assert "Index:" not in answer.stdout


def test_a_file_that_cannot_be_read_is_listed_and_tried_again_when_it_changes(
    service: RunningService,
) -> None:
    bad = root_of(service) / "bad.txt"
    bad.write_bytes(bytes(range(256)) * 16)

    def state() -> str:
        listed = {d["source"]: d for d in documents(service)["documents"]}
        return str(listed.get("vardholm/bad.txt", {}).get("state"))

    eventually(lambda: state() == "failed", "it is listed as failed")
    assert "vardholm/bad.txt: it is a binary file" in service.tandem("status").stdout
    bad.write_text("The harbour master's dog is called Skip.\n")
    eventually(lambda: state() == "indexed", "it was tried again")
    bad.unlink()


def test_tandem_watch_goes_through_the_server_for_as_long_as_it_runs(
    service: RunningService, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    with watching(service.data_dir, "--json", str(more)) as (process, lines):
        begun = json.loads(lines.until('"watching"'))
        assert (begun["root"], begun["how"]) == ("more", "events")
        (more / "mast.md").write_text("# The mast\n\nThe signal mast is 19 metres high.\n")
        synced = json.loads(lines.until("mast.md"))
        assert synced["event"] == "synced"
        assert synced["changes"] == [{"kind": "added", "source": "more/mast.md", "detail": ""}]
        assert "19 metres" in ask(service, "How high is the signal mast?")["answer"]
        assert ended(process) == (0, "")
    eventually(lambda: len(watched(service)) == 1, "it is not watched any more")
    assert "more" in documents(service)["index"]["reason"]


def test_only_the_local_user_may_have_other_folders_watched(service: RunningService) -> None:
    with service.client() as client:
        response = client.post("/documents/watch", json={"paths": ["/etc"]})
    assert response.status_code == 403


def test_tandem_watch_alone_prints_a_line_a_change_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    with watching(data, str(root)) as (process, lines):
        lines.until("watching vardholm by events")
        lines.until("added")
        (root / "bell.md").write_text(BELL.format(640))
        lines.until("added vardholm/bell.md: 1 chunk embedded")
        (root / "bell.md").rename(root / "fog.md")
        lines.until("moved vardholm/bell.md to vardholm/fog.md: nothing to embed")
        root.rename(tmp_path / "away")
        lines.until("is waited for")
        (tmp_path / "away").rename(root)
        lines.until("up to date, 5 files")
        assert ended(process) == (0, "")
    answer = tandem("ask", QUESTION, data_dir=data)
    assert "640 kilograms" in answer.stdout
    assert "Index: last compared with the files at 20" in answer.stdout


def test_without_a_folder_tandem_watch_waits_for_it(tmp_path: Path) -> None:
    with watching(tmp_path / "data", str(tmp_path / "vardholm")) as (process, lines):
        lines.until("vardholm cannot be watched: No such file or directory")
        write_corpus(tmp_path / "vardholm")
        lines.until("added")
        assert ended(process) == (0, "")


def test_polling_can_be_chosen(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "vardholm")
    polling = {"TANDEM_WATCH__MODE": "polling", "TANDEM_WATCH__POLL_S": "0.2"}
    with watching(tmp_path / "data", str(root), **polling) as (process, lines):
        lines.until("watching vardholm by polling")
        lines.until("added")
        (root / "bell.md").write_text(BELL.format(640))
        lines.until("added vardholm/bell.md")
        assert ended(process) == (0, "")


def possible(script: str, *more: str) -> bool:
    """Whether a shell script works in a name space of its own, where it is root."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    command = [unshare, "-rm", *more, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


@pytest.mark.skipif(
    not possible("echo 5 > /proc/sys/user/max_inotify_watches"), reason="needs user namespaces"
)
def test_more_folders_than_may_be_watched_are_polled_and_the_limit_is_named(
    tmp_path: Path,
) -> None:
    root = write_corpus(tmp_path / "vardholm")
    for number in range(20):
        (root / f"folder{number}").mkdir()
    script = f'echo 5 > /proc/sys/user/max_inotify_watches; exec "{TANDEM}" "$@"'
    arguments = ["--data-dir", str(tmp_path / "data"), "watch", str(root)]
    process = subprocess.Popen(  # noqa: S603 - our own program
        ["unshare", "-Ur", "sh", "-c", script, "tandem", *arguments],  # noqa: S607
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TANDEM_WATCH__POLL_S="0.2"),
    )
    with lines_of(process) as lines:
        assert "fs.inotify.max_user_watches" in lines.until("is polled")
        lines.until("added")
        (root / "folder7" / "bell.md").write_text(BELL.format(640))
        lines.until("added vardholm/folder7/bell.md")
        assert ended(process) == (0, "")


MOUNTED = """
mount -t tmpfs none "$DISK" && cp -r "$CORPUS/." "$DISK" && mount --bind "$DISK" "$ROOT"
"$TANDEM" --data-dir "$DATA" watch "$ROOT" &
while read -r line; do eval "$line"; done
kill -INT $!
wait $!
"""


@pytest.mark.skipif(
    not possible("mount -t tmpfs none /tmp", "-p", "--fork", "--kill-child"),
    reason="needs user namespaces",
)
def test_a_disk_that_is_unmounted_loses_nothing_and_is_taken_up_when_it_is_back(
    tmp_path: Path,
) -> None:
    places = {"CORPUS": write_corpus(tmp_path / "corpus"), "DATA": tmp_path / "data"}
    places |= {name.upper(): tmp_path / name for name in ("disk", "root")}
    places["DISK"].mkdir()
    places["ROOT"].mkdir()
    process = subprocess.Popen(  # noqa: S603 - our own program
        ["unshare", "-rmp", "--fork", "--kill-child", "sh", "-c", MOUNTED],  # noqa: S607
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), **{k: str(v) for k, v in places.items()}, "TANDEM": TANDEM},
    )
    assert process.stdin is not None
    with lines_of(process) as lines:
        lines.until("added")
        print('umount "$ROOT"', file=process.stdin, flush=True)
        assert "not mounted" in lines.until("waiting: root is empty")
        print('echo "Herons nest here." >> "$DISK/ferry.txt"', file=process.stdin)
        print('mount --bind "$DISK" "$ROOT"', file=process.stdin, flush=True)
        lines.until("changed root/ferry.txt: 1 chunk embedded")
        process.stdin.close()
        assert process.wait(ENDED_WITHIN_S) == 0
        assert not any("deleted" in line for line in lines.seen)


# a backend that dies and returns


class SleepingOllama(OllamaServer):
    """With vectors as long as nomic-embed-text's, and able to fall asleep."""

    asleep = False

    def vector(self, text: str) -> list[float]:
        short = super().vector(text)
        return short * (self.dimension // len(short))

    def answer(self, path: str, body: dict[str, Any]) -> Answer:
        return (503, {"error": "asleep"}) if self.asleep else super().answer(path, body)

    def settings(self) -> dict[str, str]:
        return {
            "TANDEM_EMBEDDINGS__PROVIDER": "ollama",
            "TANDEM_EMBEDDINGS__BASE_URL": self.url,
        }


def test_a_service_told_not_to_watch_indexes_once(tmp_path: Path, free_port: int) -> None:
    root = write_corpus(tmp_path / "vardholm")
    off = {"TANDEM_WATCH__MODE": "off"}
    with running_service(tmp_path / "data", root, free_port, **off) as service:
        index = documents(service)["index"]
        assert (index["state"], index["documents"], index["behind_s"]) == ("unwatched", 4, None)
        assert index["checked_at"]
        assert watched(service) == []


def test_the_service_pauses_while_embeddings_are_away_and_goes_on_where_it_was(
    tmp_path: Path, free_port: int
) -> None:
    root = write_corpus(tmp_path / "vardholm")
    with (
        SleepingOllama(dimension=768) as ollama,
        running_service(tmp_path / "data", root, free_port, **ollama.settings()) as service,
    ):
        eventually(lambda: documents(service)["index"]["state"] == "current", "all is indexed")
        ollama.asleep = True
        (root / "bell.md").write_text(BELL.format(640))
        index = eventually(
            lambda: (i := documents(service)["index"])["state"] == "paused" and i, "it pauses"
        )
        assert ollama.url in index["reason"]
        assert index["pending"] == 1
        assert index["behind_s"] > 0
        assert "freshness: paused" in service.tandem("status").stdout
        assert "Index: paused" in service.tandem("ask", QUESTION).stdout
        refused = service.tandem("index", str(root / "bell.md"))
        assert refused.returncode == 3
        assert ollama.url in refused.stderr
        before = len(ollama.inputs())
        ollama.asleep = False
        eventually(lambda: documents(service)["index"]["state"] == "current", "it goes on")
        embedded = [text for texts in ollama.inputs()[before:] for text in texts]
        assert len([text for text in embedded if "640 kilograms" in text]) == 1
        assert not any("rapeseed" in text for text in embedded)


def test_tandem_index_waits_for_embeddings_when_told_to(tmp_path: Path) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    with SleepingOllama(dimension=768) as ollama:
        assert tandem("index", str(root), data_dir=data, **ollama.settings()).returncode == 0
        (root / "bell.md").write_text(BELL.format(640))
        ollama.asleep = True
        asked = len(ollama.requests)
        process = started(data, "index", "--wait", "--json", str(root), **ollama.settings())
        eventually(lambda: len(ollama.requests) >= asked + 3, "it tries again and again")
        assert process.poll() is None
        ollama.asleep = False
        output, errors = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, errors) == (0, "")
        assert json.loads(output)["added"] == 1


def test_ctrl_c_ends_a_pause_at_once(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "vardholm")
    with SleepingOllama(dimension=768) as ollama:
        ollama.asleep = True
        process = started(tmp_path / "data", "index", "--wait", str(root), **ollama.settings())
        eventually(lambda: len(ollama.requests) >= 3, "it tries again and again")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=ENDED_WITHIN_S)
        assert process.returncode == 130
        assert time.monotonic() - began < 10
