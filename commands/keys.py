"""``tandem keys``: who may use the service from elsewhere."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from errors import UsageError

if TYPE_CHECKING:
    from settings import Settings


def add_options(keys: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    actions = keys.add_subparsers(required=True, metavar="ACTION", dest="action")
    create = actions.add_parser("create", help="make a key; it is shown once and kept as a hash")
    create.add_argument("name", metavar="NAME", help="whose key, or what for")
    create.add_argument(
        "--scopes",
        default="ask,read",
        help="of ask, read, write, admin; separated by commas (default: %(default)s)",
    )
    create.add_argument("--tenant", help="whose documents (TANDEM_TENANT)")
    create.add_argument("--json", action="store_true", help="print the key as JSON")
    shown = actions.add_parser("list", help="every key, without the key itself")
    shown.add_argument("--json", action="store_true", help="print them as JSON")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("name", metavar="NAME")


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    from api.keys import FILE, SCOPES, KeyRing

    ring = KeyRing(settings.data_dir)
    if options.action == "create":
        scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
        if not scopes or set(scopes) - set(SCOPES):
            raise UsageError(f"--scopes {options.scopes}: choose of {', '.join(SCOPES)}.")
        token = ring.create(
            options.name, (scope for scope in SCOPES if scope in scopes), settings.tenant
        )
        print(json.dumps({"name": options.name, "key": token}) if options.json else token)
    elif options.action == "list":
        kept = [_shown(key) for key in ring.all()]
        print(json.dumps(kept, indent=2) if options.json else _table(kept))
    else:
        ring.revoke(options.name)
        if not ring.all():
            print(
                f"revoked. It was the last key; a key is still needed until {FILE} is removed from "
                f"{settings.data_dir}."
            )
        else:
            print("revoked.")
    return 0


def _shown(key: Any) -> dict[str, Any]:
    return {
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
    }


def _table(kept: list[dict[str, Any]]) -> str:
    if not kept:
        return "No keys: on the loopback, everybody is let in."
    rows = [(k["name"], k["tenant"], ",".join(k["scopes"]), k["created_at"]) for k in kept]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
