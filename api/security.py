"""Who may do what."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header

from api.service import Service
from errors import Forbidden


def only_local_user(service: Service, refusal: str) -> Callable[[str], Awaitable[None]]:
    """A dependency of routes that act on this machine: its user can read the data folder's token.

    Raises:
        Forbidden: the token is missing or wrong; ``refusal`` says what to do.
    """

    async def local_user(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {service.token}".encode()):
            raise Forbidden(refusal)

    return local_user
