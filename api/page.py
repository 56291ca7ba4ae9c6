"""``/``: the web page, and the files it is made of. They are public; what they ask for is not."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from starlette.exceptions import HTTPException

from api.answering import Answering
from api.security import Caller, requires

WEB = Path(__file__).parents[1] / "web"
WORTH_ASKING = (
    "What happens when the language model server is down?",
    "How does Tandem know that a file has moved?",
    "Why is grading limited to one token a document?",
)
"""Questions that Tandem's own documents answer."""

_START = "index.html"
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Files:
    """Everything in ``web/``, read once: small, and then no path leads anywhere else."""

    contents: dict[str, bytes]
    version: str
    """A hash of it all. It stands in the files' addresses, so that browsers may keep them."""

    @classmethod
    def read(cls, folder: Path) -> "Files":
        """The files of a folder, which has no folders below it."""
        contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return cls(contents, digest.hexdigest()[:16])

    def start(self) -> bytes:
        """The page itself, with the version in the addresses of what it loads."""
        return self.contents[_START].replace(b"/static/", f"/static/{self.version}/".encode())


def page_router(service: Answering) -> APIRouter:
    """The router of ``/``, ``/static`` and ``/session``."""
    router = APIRouter(include_in_schema=False)
    files = Files.read(WEB)
    start = files.start()
    asking = Depends(requires(service, "ask"))

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return Response(start, media_type="text/html", headers={"Cache-Control": "no-cache"})

    @router.api_route("/static/{version}/{name}", methods=["GET", "HEAD"])
    async def static(version: str, name: str) -> Response:
        content = files.contents.get(name)
        if content is None:
            raise HTTPException(404, f"The page has no file {name!r}.")
        # A page that was loaded before an upgrade gets today's file, and must not keep it.
        keep = _FOREVER if version == files.version else "no-cache"
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, media_type=kind, headers={"Cache-Control": keep})

    @router.get("/session")
    async def session(caller: Annotated[Caller, asking]) -> dict[str, Any]:
        """What the page has to know before anything is asked."""
        return {
            "scopes": sorted(caller.scopes),
            "traces": _traces(service),
            "uploads": f"{service.settings.uploads.name}/",
            "worth_asking": WORTH_ASKING,
        }

    return router


def _traces(service: Answering) -> str | None:
    """What a trace's id is put after, to see it in Phoenix."""
    endpoint = service.settings.phoenix.endpoint
    return f"{endpoint}/redirects/traces/" if endpoint else None
