"""A real vLLM for the tests, and our client of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.language_model import LanguageModel
from settings import LanguageModelSettings
from tests.vllm.serving import make_tiny_model, serving


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was made just now."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def vllm_url(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of a vLLM that serves the tiny model as ``tiny``; stopped at the end."""
    with serving(tiny_model, tmp_path_factory.mktemp("vllm") / "server.log") as url:
        yield url


@pytest.fixture
async def language_model(vllm_url: str) -> AsyncIterator[LanguageModel]:
    """Our client of that server."""
    settings = LanguageModelSettings(base_urls=[f"{vllm_url}/v1"], max_answer_tokens=64)
    model = LanguageModel(settings)
    yield model
    await model.aclose()
