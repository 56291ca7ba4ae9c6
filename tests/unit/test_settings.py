from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import Settings


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
