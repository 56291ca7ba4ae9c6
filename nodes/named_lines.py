"""What a model's reply says under a name, such as ``SEARCH: the query``, however it is wrapped."""

import json
import re
from collections.abc import Iterable, Iterator

SEARCH = r"search(?:es)?(?:[ _]quer(?:y|ies))?|quer(?:y|ies)"
MISSING = "missing"
QUESTION = "question"

MAX_CHARS = 300
"""Of a line; a longer one is no query, and what is missing takes a few words."""

_FENCE = re.compile(r"^```\w*\s*$", re.MULTILINE)
_ITEM = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+(.*)")
_SPACES = re.compile(r"[ \t]{2,}")
_RUN_ON = re.compile(r"[ \t]+(?=\**(?:MISSING|SEARCH|QUESTION)\**(?: \d)?\**:)")
"""Where the next name stands on the line of the one before it."""
_SAYS_NOTHING = re.compile(
    r"\W*(?:none|nothing|null|n/?a|(?:the|a|another) query)?\W*", re.IGNORECASE
)


def lines_named(reply: str, name: str) -> list[str]:
    """What stands behind each ``NAME:``, in a list below one, or in the field of a JSON object.

    ``name`` is one of the above. Numbers, bullets, bold type and code fences around it do not
    matter. What says nothing, such as ``none``, and what is too long is left out.
    """
    text = _SPACES.sub(" ", _FENCE.sub("", reply)).strip()
    found = _from_json(text, name)
    return _kept(_from_lines(text, name) if found is None else found)


def only_line(reply: str) -> list[str]:
    """A reply that is nothing but one line, without a name before it."""
    text = _FENCE.sub("", reply).strip()
    return _kept([] if "\n" in text or ":" in text else [text])


def _kept(found: Iterable[str]) -> list[str]:
    """Each on one line, without what decorates it."""
    lines = (" ".join(text.split()).strip(" \"'`*<>") for text in found)
    return [line for line in lines if len(line) <= MAX_CHARS and not _SAYS_NOTHING.fullmatch(line)]


def _from_lines(text: str, name: str) -> Iterator[str]:
    head = re.compile(rf"[\W\d_]*(?:{name})[\W\d_]*?:(.*)", re.IGNORECASE)
    listing = False
    for line in _RUN_ON.sub("\n", text).splitlines():
        if named := head.match(line):
            listing = not named[1].strip(" *")
            yield named[1]
        elif listing and (item := _ITEM.match(line)):
            yield item[1]
        elif line.strip():
            listing = False


def _from_json(text: str, name: str) -> list[str] | None:
    """The texts of a field, none of a broken object; None where the reply holds no JSON."""
    try:
        value: object = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return [] if text.startswith("{") else None
    return list(_texts(value, name))


def _texts(value: object, name: str) -> Iterator[str]:
    """A field's text or texts, also where each is an object of its own."""
    if not isinstance(value, dict):
        return
    for key, field in value.items():
        if not re.fullmatch(name, key, re.IGNORECASE):
            continue
        for item in field if isinstance(field, list) else [field]:
            if isinstance(item, str):
                yield item
            else:
                yield from _texts(item, name)
