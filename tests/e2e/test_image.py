"""The image's build, step by step as the Dockerfile says, without a container engine.

The build stage's commands run in a clean folder that stands for the file system; then the program
that came of it is started as the image would start it.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.corpus import write_corpus

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or str(ROOT / ".venv-uv/bin/uv")
pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]


def instructions() -> list[tuple[str, str, str]]:
    """The stage, the instruction and its arguments, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    found, stage = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        name, _, arguments = line.strip().partition(" ")
        if name == "FROM":
            stage = arguments.partition(" AS ")[2] or "image"
        found.append((stage, name, arguments.strip()))
    return found


def settings_of(stage: str) -> dict[str, str]:
    """The stage's variables."""
    lines = [arguments for at, name, arguments in instructions() if (at, name) == (stage, "ENV")]
    return {key: value for line in lines for key, value in re.findall(r"(\w+)=(\S+)", line)}


def words_of(name: str) -> list[str]:
    """The words of an instruction in the image's own stage, such as ``ENTRYPOINT``."""
    (arguments,) = [a for at, each, a in instructions() if (at, each) == ("image", name)]
    words: list[str] = json.loads(arguments[arguments.index("[") :])
    return words


def files_of_the_context() -> list[str]:
    """What ``COPY . .`` takes: the files of the project that the ignore file lets through."""
    lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    kept = [re.escape(line[1:]).replace(r"\*", "[^/]*") for line in lines if line.startswith("!")]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - the developer's git
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [name for name in listed if re.match(rf"(?:{'|'.join(kept)})(?:/|$)", name)]


@pytest.fixture(scope="module")
def file_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the build stage has run."""
    top = tmp_path_factory.mktemp("image")

    def inside(text: str) -> str:
        return re.sub(r"(?<![\w.])/(opt|build|root)\b", rf"{top}/\1", text)

    given = {"PATH", "HOME", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR", "UV_PYTHON"}
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key in given or re.match(r"(PIP|UV)_(.*INDEX|CONFIG|.*LINKS|.*CERT|NATIVE)", key)
    }
    variables = {key: inside(value) for key, value in settings_of("build").items()}
    # Compiling 15,000 files takes a minute here and changes nothing that is looked at.
    environment = {**inherited, **variables, "UV_COMPILE_BYTECODE": "0", "UV_LINK_MODE": "hardlink"}
    environment["PATH"] = f"{Path(UV).parent}:{environment['PATH']}"
    work = top
    for stage, name, arguments in instructions():
        if stage != "build":
            continue
        if name == "WORKDIR":
            work = Path(inside(arguments))
            work.mkdir(parents=True)
        elif name == "COPY" and not arguments.startswith("--from"):
            *sources, _ = arguments.split()
            for source in files_of_the_context() if sources == ["."] else sources:
                (work / source).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / source, work / source)
        elif name == "RUN":
            command = re.sub(r"--mount=\S+\s+", "", inside(arguments))
            subprocess.run(  # noqa: S602 - as the engine would
                command, shell=True, check=True, cwd=work, env=environment, timeout=400
            )
    return top


@contextlib.contextmanager
def running(top: Path, data: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """The image's own command, on the loopback of this machine."""
    command = [*words_of("ENTRYPOINT"), *words_of("CMD")]
    command = [word.replace("0.0.0.0", "127.0.0.1") for word in command]  # noqa: S104 - not here
    settings = {
        **settings_of("image"),
        "PATH": f"{top}/opt/tandem/bin:/usr/bin:/bin",
        "TANDEM_DATA_DIR": str(data),
        "TANDEM_ROOTS": str(data.parent / "vardholm"),
        "TANDEM_PORT": str(port),
        "TANDEM_PHOENIX__ENDPOINT": "",
        "HOME": str(data),
    }
    program = shutil.which(command[0], path=settings["PATH"])
    assert program is not None
    data.mkdir()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [program, *command[1:]], cwd=data, env=settings, text=True, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def healthy(top: Path, port: int) -> bool:
    """What the image's health check says."""
    check = [word.replace(":8000", f":{port}") for word in words_of("HEALTHCHECK")]
    python = str(top / "opt/tandem/bin" / check[0])
    return subprocess.run([python, *check[1:]], check=False, capture_output=True).returncode == 0  # noqa: S603 - ours


def test_what_the_image_holds_starts_answers_and_stops(file_system: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "vardholm")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with running(file_system, tmp_path / "data", port) as process:
        deadline = time.monotonic() + 90
        while not healthy(file_system, port):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            found = False
            while not found and time.monotonic() < deadline:  # it answers while it indexes
                question = {"question": "Who built the Vardholm lighthouse?", "stream": False}
                answer = client.post("/ask", json=question, timeout=60).json()
                found = "Ottilie Brandt" in answer["answer"]
            assert found
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
        assert all(json.loads(line) for line in log.splitlines())


def test_the_image_holds_nothing_that_only_developers_need(file_system: Path) -> None:
    packages = {
        path.name for path in (file_system / "opt/tandem").glob("lib/python*/site-packages/*")
    }
    assert {"cli.py", "api", "psycopg"} <= packages
    assert not {"pytest", "mypy", "playwright", "hypothesis", "torch", "tests"} & packages
    locked = (ROOT / "requirements.lock").read_text()
    for folder in packages:
        if folder.endswith(".dist-info") and not folder.startswith("tandem_rag"):
            name, version = folder.removesuffix(".dist-info").split("-")[:2]
            wanted = rf"^{name.replace('_', '[-_.]')}=={re.escape(version)}\b"
            assert re.search(wanted, locked, re.MULTILINE | re.IGNORECASE), folder
