"""Whose a file is: told by the folder it lies in, never by what somebody asks for."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT = "default"
"""The tenant of every folder that none has claimed."""


class Tenants:
    """The folders of each tenant. Where they are nested the innermost decides."""

    def __init__(self, folders: Mapping[str, Sequence[Path]] | None = None) -> None:
        claims = [
            (os.path.realpath(folder.expanduser()), name)
            for name, claimed in (folders or {}).items()
            for folder in claimed
        ]
        self._claims = sorted(claims, key=lambda claim: len(claim[0]), reverse=True)

    def __bool__(self) -> bool:
        """Whether there is another than the default one."""
        return bool(self._claims)

    def of(self, location: str) -> str:
        """The tenant of the file or folder at an absolute path."""
        for folder, name in self._claims:
            if location == folder or location.startswith(os.path.join(folder, "")):  # noqa: PTH118 - a Path costs as much as a stat
                return name
        return DEFAULT

    def recipe(self, recipe: str, location: str) -> str:
        """The recipe of that file's points: another tenant makes the file due again."""
        tenant = self.of(location)
        return recipe if tenant == DEFAULT else f"{recipe}/{tenant}"
