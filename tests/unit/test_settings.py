import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import EmbeddingSettings, Settings, taken_over, written_out


def test_a_tenants_folders_are_indexed_beside_the_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_ROOTS", "docs")
    monkeypatch.setenv("TANDEM_TENANTS__ACME", "/srv/a, /srv/b")
    monkeypatch.setenv("TANDEM_TENANT", "acme")
    settings = Settings(_env_file=None)
    assert settings.tenants == {"acme": [Path("/srv/a"), Path("/srv/b")]}
    assert settings.folders == [Path("docs"), Path("/srv/a"), Path("/srv/b")]
    assert settings.tenant == "acme"


def test_an_unknown_tenant_is_refused() -> None:
    with pytest.raises(ValidationError, match="no TANDEM_TENANTS__ACM with folders"):
        Settings(_env_file=None, tenants={"acme": [Path("/srv")]}, tenant="acm")


@pytest.mark.parametrize("name", ["A", "a b", "", "-a", "a" * 65])
def test_a_tenant_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        Settings(_env_file=None, tenants={name: [Path("/srv")]})


def test_another_process_takes_settings_over_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "TANDEM_LLM__BASE_URLS": "http://a:8000/v1, http://b:8000/v1",
        "TANDEM_LLM__API_KEY": "of-the-model",
        "TANDEM_THREADS_URL": "postgresql://me:secret@host/threads",
        "TANDEM_TENANTS__ACME": "/srv/a",
        "TANDEM_RATE_LIMIT_PER_MINUTE": "7",
        "TANDEM_QDRANT__URL": "http://127.0.0.1:6333/",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None).model_copy(update={"port": 8001, "data_dir": tmp_path})
    sent = json.loads(json.dumps(written_out(settings)))
    monkeypatch.setenv("TANDEM_TOP_K", "50")
    monkeypatch.setenv("TANDEM_LLM__BASE_URLS", "http://changed:8000/v1")
    monkeypatch.setenv("TANDEM_EMBEDDINGS__MODEL", "changed")
    assert taken_over(sent) == settings
    assert taken_over(json.loads(json.dumps(written_out(Settings(_env_file=None))))).top_k == 50


def test_embedding_settings_are_written_out_with_their_key() -> None:
    chosen = EmbeddingSettings.model_validate({"provider": "openai", "api_key": "k"})
    assert EmbeddingSettings.model_validate(written_out(chosen)) == chosen
