"""Who asks, and what they may do."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Header

from api.service import Service
from errors import Forbidden

Scope = Literal["ask", "read", "write", "admin"]
"""``ask``: questions. ``read``: what is indexed, and the passages themselves. ``write``: uploads,
deletions and syncs within the roots. ``admin``: what acts on the whole service."""
ALL_SCOPES: frozenset[Scope] = frozenset(["ask", "read", "write", "admin"])


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as the server found out; nothing in it comes from the request itself."""

    name: str
    """For logs and limits."""
    tenant: str
    """Whose documents and conversations: the only ones that the caller can reach."""
    scopes: frozenset[Scope] = ALL_SCOPES


def requires(service: Service, scope: Scope) -> Callable[[], Awaitable[Caller]]:
    """A dependency that tells who asks, and refuses whoever may not do what the scope stands for.

    Raises:
        Forbidden: the caller lacks the scope.
    """

    async def caller() -> Caller:
        found = local_caller(service)
        if scope not in found.scopes:
            raise Forbidden(f"{found.name} may not {scope}.")
        return found

    return caller


def local_caller(service: Service) -> Caller:
    """Whoever reaches a service that has no keys: on the loopback, this machine's users."""
    return Caller("local", service.settings.tenant)


def only_local_user(service: Service, refusal: str) -> Callable[[str], Awaitable[None]]:
    """A dependency of routes that act on this machine: its user can read the data folder's token.

    Raises:
        Forbidden: the token is missing or wrong; ``refusal`` says what to do.
    """

    async def local_user(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {service.token}".encode()):
            raise Forbidden(refusal)

    return local_user
