"""Makes text from outside inert and free of secrets: one streaming cleaner, one redactor, applied where bytes come in.

Never interprets what it removes. Terminal sequences go, other control characters become visible, words stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# ECMA-48: CSI; OSC, DCS, SOS, PM, APC up to BEL or ST (bounded, so that an unterminated one cannot eat a log);
# escapes with intermediates; any other two-byte escape. C1 forms are the single-character twins.
_STRING_LIMIT = 4096
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]"
    rf"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{{0,{_STRING_LIMIT}}}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{1,16}[0-~]"
    r"|\x1b[0-~]"
)
# What could still grow into a sequence when the next chunk comes.
_UNFINISHED = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}"
    rf"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{{0,{_STRING_LIMIT}}}\x1b?"
    r"|\x1b[ -/]{0,16}|\r)\Z"
)
_BIDI_AND_INVISIBLE = (
    "\u061c\u200b\u200c\u200d\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
_DIRTY = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI_AND_INVISIBLE}]")
_HTML_SPAN = re.compile(r"</?span(?:\s+class=['\"][\w\s-]{0,80}['\"])?\s*>")


def clean(text: str) -> str:
    """`text` without terminal sequences; control, bidi and invisible characters made visible or dropped.

    Newlines and tabs stay; a carriage return becomes a newline, so that an overwritten line can still be read.
    Nothing in the result makes a terminal do anything but print.
    """
    if _DIRTY.search(text) is None:
        return text
    text = _SEQUENCE.sub("", text)
    text = text.replace("\r\n", "\n")
    return _DIRTY.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if char in "\r\u2028\u2029":
        return "\n"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return ""


def strip_html_spans(text: str) -> str:
    """`text` without the colour spans that notebook errors may carry."""
    return _HTML_SPAN.sub("", text) if "span" in text else text


class Cleaner:
    """`clean` for text that comes in chunks: the joined results equal `clean` of the joined chunks."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, chunk: str) -> str:
        """The clean text of what is complete so far; an unfinished sequence is held for the next chunk."""
        text = self._held + chunk
        match = _UNFINISHED.search(text, max(0, len(text) - _STRING_LIMIT - 300))
        end = match.start() if match else len(text)
        self._held = text[end:]
        return clean(text[:end])

    def finish(self) -> str:
        """What was held back, made visible."""
        text, self._held = self._held, ""
        return clean(text)


def clip(text: str, limit: int) -> str:
    """`text` of at most `limit` characters, with a note of how much was left out of the middle."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = max(0, limit - head - 40)
    return f"{text[:head]}\n[... {len(text) - head - tail:,} characters left out ...]\n{text[len(text) - tail :]}"


MASK = "[redacted]"

# Shapes of secrets; the group `keep` stays. Sources: the providers' own documentation of their token formats.
_SHAPES = [
    re.compile(r"\b(?:dapi|dose|dkea|dsaf)[0-9a-f]{32,40}(?:-\d{1,3})?\b"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"),
    re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[A-Za-z0-9+/._~=-]{12,4000}", re.IGNORECASE),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(
        r"(?P<keep>\b(?:aws_?secret_?access_?key|secret_?key|client_?secret|(?:access|refresh|api|auth|id)_?token|password|passwd|"
        r"account_?key|sas_?token|api_?key|private_?key)[\"']?\s{0,4}[:=]\s{0,4}[\"']?)[^\s\"',;&}{]{6,4000}",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<keep>[?&](?:sig|token|access_token|code|client_secret|X-Amz-Signature|X-Amz-Security-Token)=)[^\s&\"'<>]{4,4000}"
    ),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:\"']{1,200}:[^\s/@\"']{1,400}(?=@)", re.IGNORECASE),
    re.compile(
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.{0,8000}?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(r"(?P<keep>\bDATABRICKS_(?:TOKEN|CLIENT_SECRET)\s{0,2}[=:]\s{0,2}[\"']?)[^\s\"']{4,4000}"),
]
_HINT = re.compile(
    r"dapi|dose|dkea|dsaf|eyJ|bearer|basic|AKIA|ASIA|secret|token|passw|_?key|sig=|code=|X-Amz|://|PRIVATE KEY",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with everything that has the shape of a secret masked whole (never "the first four")."""
    if _HINT.search(text) is None:
        return text
    for shape in _SHAPES:
        text = shape.sub(_mask, text)
    return text


def _mask(match: re.Match[str]) -> str:
    kept = match.groupdict().get("keep") or ""
    return kept + MASK


class Redactor:
    """`redact`, and every secret we hold replaced literally wherever it stands, also over line breaks."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._patterns: list[re.Pattern[str]] = []
        self._known: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Never let `secret` through from now on; words shorter than eight characters would hit innocent text."""
        if len(secret) >= 8 and secret not in self._known:
            self._known.add(secret)
            self._patterns.append(re.compile(r"[\s\\]{0,4}".join(re.escape(char) for char in secret)))

    def redact(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return redact(text)
