"""``deploy/``: what the files name is what the program, its lock and its other files have."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # brings no types

from backends.embeddings import OLLAMA_MODEL
from tests.unit.test_documents import variables

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
MACHINES = [DEPLOY / "client.compose.yml", DEPLOY / "server.compose.yml"]
COMPOSE = [*MACHINES, DEPLOY / "client.gpu.compose.yml"]

SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment",
    "healthcheck", "image", "ipc", "ports", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
"""Those of the Compose specification that are used: an unknown one would be refused."""

each_machine = pytest.mark.parametrize("file", MACHINES, ids=lambda path: path.name)


def compose(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def services(*files: Path) -> list[tuple[str, dict[str, Any]]]:
    return [each for file in files for each in compose(file)["services"].items()]


def locked(package: str) -> str:
    """The version in the lock."""
    lock = (ROOT / "requirements.lock").read_text()
    found = re.search(rf"^{package}==([\d.]+)", lock, re.MULTILINE)
    assert found is not None, package
    return found[1]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.name)
def test_a_compose_file_holds_known_keys_and_declared_volumes(file: Path) -> None:
    loaded = compose(file)
    assert loaded.keys() <= {"name", "services", "volumes"}
    for name, service in services(file):
        assert service.keys() <= SERVICE_KEYS, name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in loaded["volumes"] or source.startswith(("$", ".", "/")), volume
        for other, condition in service.get("depends_on", {}).items():
            depended = loaded["services"][other]
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in depended, other


@pytest.mark.parametrize(("name", "service"), services(*MACHINES))
def test_a_container_is_watched_restarted_and_has_no_rights_it_does_not_need(
    name: str, service: dict[str, Any]
) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if service["restart"] == "no":
        return  # it does one thing and ends
    assert service["restart"] == "unless-stopped"
    if "build" in service:
        assert "HEALTHCHECK" in DOCKERFILE
    else:
        check = service["healthcheck"]
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@each_machine
def test_ports_are_open_to_this_machine_alone_unless_told_otherwise(file: Path) -> None:
    published = [port for _, service in services(file) for port in service.get("ports", [])]
    assert published
    for port in published:
        host = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", port).rpartition(":")[0]
        assert host.startswith("127.0.0.1:"), port


def test_the_images_are_those_that_are_tested() -> None:
    script = (ROOT / "tests/vllm/install.sh").read_text()
    vllm = re.search(r'^vllm="([\d.]+)"', script, re.MULTILINE)
    assert vllm is not None
    images = {service["image"] for _, service in services(*COMPOSE) if "image" in service}
    assert f"vllm/vllm-openai:v{vllm[1]}" in images
    assert f"arizephoenix/phoenix:version-{locked('arize-phoenix')}" in images
    qdrant = {image for image in images if image.startswith("qdrant/")}
    client = locked("qdrant-client")
    assert qdrant == {
        f"qdrant/qdrant:v{client}-unprivileged",
        f"qdrant/qdrant:v{client}-gpu-nvidia",
    }
    for image in images:
        assert re.search(r":[\w.-]*\d+\.\d+\.\d+", image), image  # a version, never "latest"


def test_every_setting_in_the_compose_files_and_the_image_exists() -> None:
    text = "".join(path.read_text() for path in [*COMPOSE, DEPLOY / "Dockerfile"])
    named = set(re.findall(r"TANDEM_[A-Z_]*[A-Z]", text))
    assert {"TANDEM_LLM__BASE_URLS", "TANDEM_DATA_DIR"} <= named <= set(variables())
    assert OLLAMA_MODEL in (DEPLOY / "client.compose.yml").read_text()


@each_machine
def test_what_a_compose_file_asks_of_its_environment_is_in_the_example(file: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+)", file.read_text()))
    example = file.with_name(file.name.replace(".compose.yml", ".env.example")).read_text()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == asked


def test_no_secret_has_a_value_of_its_own() -> None:
    for file in DEPLOY.glob("*.env.example"):
        secrets = re.findall(r"^\w*(?:KEY|TOKEN)=(.*)$", file.read_text(), re.MULTILINE)
        assert secrets
        assert set(secrets) == {""}
    for _, service in services(*MACHINES):
        for name, value in service.get("environment", {}).items():
            if name.endswith(("KEY", "TOKEN")):
                assert re.fullmatch(r"\$\{\w+:[-?][^}]*\}", value), name


def test_the_image_runs_without_root_and_asks_a_route_that_exists() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert all(re.match(r"(FROM )?\S+:\S*\d", stage) for stage in stages[1:])
    last = stages[-1]
    user = re.search(r"^USER (\d+):", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    asked = re.search(r"127\.0\.0\.1:8000(/\w+)", last)
    assert asked is not None
    assert f'"{asked[1]}"' in (ROOT / "api/health.py").read_text()
    assert "dev" not in re.findall(r"--extra (\w+)", DOCKERFILE)


def test_the_image_is_built_from_every_module_that_the_wheel_holds() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    project = (ROOT / "pyproject.toml").read_text()
    wheel = re.search(r"only-include = \[(.*?)\]", project, re.DOTALL)
    assert wheel is not None
    for name in re.findall(r'"([\w./]+)"', wheel[1]):
        assert f"!{name}" in ignored or (name.endswith(".py") and "!*.py" in ignored), name
