"""Who asks, and what they may do."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.answering import Answering
from api.http.logs import note_caller
from api.keys import PREFIX, SCOPES, Scope
from errors import Forbidden, Unauthenticated

ALL_SCOPES: frozenset[Scope] = frozenset(SCOPES)
_BEARER = HTTPBearer(
    auto_error=False,  # whether a key is needed depends on the service
    scheme_name="API key",
    description="A key made by `tandem keys create`; needed once there is one.",
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as the server found out; nothing in it comes from the request itself."""

    name: str
    """For logs and limits."""
    tenant: str
    """Whose documents and conversations: the only ones that the caller can reach."""
    scopes: frozenset[Scope] = ALL_SCOPES


def requires(service: Answering, scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency that tells who asks, and refuses whoever may not do what the scope stands for.

    Raises:
        Unauthenticated: a key is needed and missing, or wrong.
        Forbidden: the caller lacks the scope.
    """

    async def caller(credentials: _Credentials) -> Caller:
        return allowed(service, scope, credentials.credentials if credentials else None)

    return caller


def asks(service: Answering, scope: Scope = "ask") -> Callable[..., Awaitable[Caller]]:
    """``requires`` the scope, and room for a run: refused here, the status can say so.

    A search is counted and refused as a question is: it takes the same model and the same store.

    Raises: as ``requires``; TooBusy, TooManyRequests.
    """

    async def caller(credentials: _Credentials) -> Caller:
        found = allowed(service, scope, credentials.credentials if credentials else None)
        await service.admission.check(found.name)
        return found

    return caller


def allowed(service: Answering, scope: Scope, token: str | None) -> Caller:
    """The caller who showed this token, or none.

    Raises: as ``requires``.
    """
    caller = _caller(service, token)
    permit(caller, scope)
    return caller


def permit(caller: Caller, scope: Scope) -> None:
    """Refuse whoever may not do what the scope stands for.

    Raises:
        Forbidden: the caller lacks the scope.
    """
    if scope not in caller.scopes:
        raise Forbidden(
            f"The key {caller.name!r} does not have the scope {scope!r}. Make one that has it with "
            "`tandem keys create`."
        )


def caller_of(service: Answering, authorization: str, scope: Scope | None = None) -> Caller:
    """The caller with this ``Authorization`` header, for what is no route of FastAPI's.

    Without a scope, whoever is let in at all: what the caller does is to be permitted later.

    Raises: as ``requires``.
    """
    scheme, _, token = authorization.partition(" ")
    caller = _caller(service, token.strip() if scheme.casefold() == "bearer" else None)
    if scope is not None:
        permit(caller, scope)
    return caller


def local_caller(service: Answering) -> Caller:
    """This machine's user, and whoever reaches a service that has no keys."""
    return Caller("local", service.settings.tenant)


def _caller(service: Answering, token: str | None) -> Caller:
    caller = _found(service, token)
    note_caller(caller.name)
    return caller


def _found(service: Answering, token: str | None) -> Caller:
    if token is not None:
        if secrets.compare_digest(token.encode(errors="replace"), service.token.encode()):
            return local_caller(service)
        if (key := service.keys.find(token)) is not None:
            return Caller(key.name, key.tenant, key.scopes)
    if not service.keys_needed and not (token or "").startswith(PREFIX):
        return local_caller(service)
    raise Unauthenticated(
        "This service needs an API key, as the header `Authorization: Bearer KEY`. "
        "`tandem keys create NAME`, on the service's machine, makes one."
        if token is None
        else "This API key is unknown or was revoked. `tandem keys list`, on the service's "
        "machine, shows those there are."
    )


def only_local_user(service: Answering, refusal: str) -> Callable[..., Awaitable[None]]:
    """A dependency of routes that act on this machine: its user can read the data folder's token.

    Raises:
        Forbidden: the token is missing or wrong; ``refusal`` says what to do.
    """

    async def local_user(credentials: _Credentials) -> None:
        _require_token(service, credentials.credentials if credentials else "", refusal)

    return local_user


def require_local_user(service: Answering, authorization: str, refusal: str) -> None:
    """The same for a route that asks it of some requests only, by their header.

    Raises: as ``only_local_user``.
    """
    _require_token(service, authorization.partition(" ")[2].strip(), refusal)


def _require_token(service: Answering, token: str, refusal: str) -> None:
    if not secrets.compare_digest(token.encode(errors="replace"), service.token.encode()):
        raise Forbidden(refusal)
