"""Text of others inside a prompt: cleaned, and delimited by marks that its author cannot guess.

What a document says is data. It can be anything, also text that was made to look like the end of
its own block, like a system message, or like nothing at all.
"""

import hashlib
import hmac
import re

MARK_CHARS = 12
"""Hexadecimal digits: 48 bits, guessed once in 280 trillion attempts, each of them an indexing."""

# What people do not see and models read. Control characters but tab and line feed; direction
# marks, overrides and isolates; zero-width space, word joiner, soft hyphen, invisible operators;
# interlinear annotations; the tag characters, in which whole sentences can be hidden, and the
# variation selectors that are used in the same way.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Joiners belong between the letters of some scripts and the parts of some emoji, one at a time.
_JOINER = "[\u200c\u200d]"
_SELECTOR = "[\ufe00-\ufe0f]"
_LOOSE_JOINERS = re.compile(
    f"(?<![^\x00-\x7f\u200c\u200d]){_JOINER}+|{_JOINER}+(?![^\x00-\x7f\u200c\u200d])"
    f"|(?<={_JOINER}){_JOINER}+|(?<![^\x00-\x1f]){_SELECTOR}+|(?<={_SELECTOR}){_SELECTOR}+"
)
# Our own tags, and the tokens with which chat templates tell who speaks. A server's tokenizer
# turns those into the real ones wherever they stand.
_TAGS = re.compile(
    r"<(?=\s*/?\s*(?:document|question|statement|searches|conversation)\b)", re.IGNORECASE
)
_CONTROL_TOKENS = re.compile(
    r"<(?=[|｜]|<?/?(?:SYS|s|bos|eos|pad|unk|eod|think|tool_call|tool_response|im_start|im_end"
    r"|(?:start|end)_of_turn|(?:begin|end)_of_\w+)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


def mark(secret: bytes, *parts: str) -> str:
    """What stands in the delimiters of this text and no other: a keyed hash.

    Whoever does not know the secret cannot put it into the text, and the same text always has the
    same mark, so that a server's prefix cache stays warm.
    """
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hmac.new(secret, joined, hashlib.sha256).hexdigest()[:MARK_CHARS]


def cleaned(text: str) -> str:
    """The text without what a reader cannot see, and with nothing that a chat template means."""
    if not text.isascii():
        text = _LOOSE_JOINERS.sub("", _UNSEEN.sub("", _LINE_ENDS.sub("\n", text)))
    elif not text.isprintable():
        text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", text))
    if "<" in text or "[" in text:
        text = _TAGS.sub("&lt;", text)
        text = _CONTROL_TOKENS.sub(lambda match: f"{match.group()} ", text)
    return text


def one_line(text: str) -> str:
    """The cleaned text on one line."""
    return " ".join(cleaned(text).split())


def quoted(tag: str, secret: bytes, *parts: str) -> str:
    """Lines of others' text in a block of their own, marked as nobody else can mark it."""
    of = mark(secret, tag, *parts)
    body = "\n".join(cleaned(part) for part in parts)
    return f"<{tag} {of}>\n{body}\n</{tag} {of}>"
