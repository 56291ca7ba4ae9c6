"""What can go wrong with a Qdrant server, in words that say what to check."""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]  # publishes no types
import httpx
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from errors import VectorStoreUnavailable

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment: fit for messages."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


@contextlib.contextmanager
def server_errors(place: str) -> Iterator[None]:
    """Turn the client's errors, over REST or gRPC, into Tandem's. ``place`` names the server."""
    try:
        yield
    except UnexpectedResponse as exc:
        raise _answered(place, exc.status_code, _text(exc)) from exc
    except ResponseHandlingException as exc:
        raise _silent(place, str(exc.source) or type(exc.source).__name__) from exc
    except httpx.HTTPError as exc:
        raise _silent(place, str(exc) or type(exc).__name__) from exc
    except grpc.RpcError as exc:
        code = exc.code() if isinstance(exc, grpc.Call) else None
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise _answered(place, HTTPStatus.UNAUTHORIZED, "") from exc
        if code in (None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise _silent(place, code.name.lower() if code else "no status") from exc
        detail = str(exc.details())[:300] if isinstance(exc, grpc.Call) else ""
        raise _answered(place, None, f"{code.name}: {detail}") from exc


def _text(exc: UnexpectedResponse) -> str:
    return exc.content.decode("utf-8", "replace")[:300]


def _answered(place: str, status: int | None, detail: str) -> VectorStoreUnavailable:
    if status in _REFUSED:
        return VectorStoreUnavailable(
            f"Qdrant at {place} refuses access. Check TANDEM_QDRANT__API_KEY."
        )
    code = f" ({status})" if status else ""
    return VectorStoreUnavailable(
        f"Qdrant at {place} refused a request{code}: {detail} Check the server's log and that "
        "TANDEM_QDRANT__URL names a Qdrant of version 1.16 or later."
    )


def _silent(place: str, reason: str) -> VectorStoreUnavailable:
    return VectorStoreUnavailable(
        f"Qdrant at {place} does not answer ({reason}). Check that it runs and that "
        "TANDEM_QDRANT__URL and TANDEM_QDRANT__PREFER_GRPC fit it; TANDEM_QDRANT__TIMEOUT_S is "
        "how long Tandem waits."
    )
