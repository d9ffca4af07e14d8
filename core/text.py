"""Makes text from outside inert: one streaming cleaner, applied where bytes become our models.

Never interprets what it removes. Terminal sequences go, other control characters become visible, words stay.
"""

from __future__ import annotations

import re

from .redaction import MASK, LineRedactor, Redactor, redact

__all__ = ["MASK", "Cleaner", "LineRedactor", "Redactor", "clean", "clip", "redact", "strip_html_spans"]

# ECMA-48: CSI; OSC, DCS, SOS, PM, APC up to BEL or ST; escapes with intermediates; any other two-byte escape.
# C1 forms are the single-character twins. A string that is longer, or runs over a line end, is not one: an
# unterminated introducer must not eat a log.
_STRING_LIMIT = 4096
_CSI_BODY = r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}"
_STRING_BODY = rf"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{{0,{_STRING_LIMIT}}}"
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_DIRTY_CLASS = f"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_INVISIBLE}"
_DIRTY = re.compile(f"[{_DIRTY_CLASS}]")
_ASCII_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in (0x09, 0x0A))

# One pass over everything, so that a chunk boundary can never see a half-done step.
_TOKEN = re.compile(
    rf"(?P<gone>{_CSI_BODY}[@-~]|{_STRING_BODY}(?:\x07|\x1b\\|\x9c)|\x1b[ -/]{{1,16}}[0-~]|\x1b[0-~])"
    rf"|(?P<line>\r{{1,64}}\n)|[{_DIRTY_CLASS}]"
)
# What could still grow into a sequence, or into a line end, when the next chunk comes.
_UNFINISHED = re.compile(rf"(?:{_CSI_BODY}|{_STRING_BODY}\x1b?|\x1b[ -/]{{0,16}}|\r{{1,64}})\Z")
_STARTS = "\x1b\r\x9b\x9d\x90\x98\x9e\x9f"
_LONGEST_HELD = _STRING_LIMIT + 8

_HTML_SPAN = re.compile(r"</?span(?:\s+(?:class|style)=['\"][^'\"<>\n]{0,120}['\"])?\s*>")


def clean(text: str) -> str:
    """`text` without terminal sequences; controls made visible (`␛`), bidi and zero-width characters dropped.

    Newlines and tabs stay. A carriage return becomes a newline, so that a line that was overwritten can still be
    read. Nothing in the result makes a terminal do anything but print. Grammar: ECMA-48, 5th edition, §5.
    """
    if text.isascii():
        # Three passes of C beat one of the regex engine by far, and most text is plain.
        raw = text.encode("ascii")
        if len(raw.translate(None, _ASCII_CONTROLS)) == len(raw):
            return text
    elif _DIRTY.search(text) is None:
        return text
    return _TOKEN.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "gone":
        return ""
    if kind == "line":
        return "\n"
    code = ord(match.group())
    if code in (0x0D, 0x2028, 0x2029):
        return "\n"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return ""


def strip_html_spans(text: str) -> str:
    """`text` without the colour spans that notebook errors carry (`<span class='ansi-red-fg'>ValueError</span>`)."""
    return _HTML_SPAN.sub("", text) if "span" in text else text


class Cleaner:
    """`clean` for text that comes in chunks: the joined results equal `clean` of the joined chunks."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, chunk: str) -> str:
        """The clean text of what is complete so far; an unfinished sequence is held for the next chunk."""
        text = self._held + chunk
        if not text:
            return ""
        start = max(0, len(text) - _LONGEST_HELD)
        starts = "\x1b\r" if text.isascii() else _STARTS
        match = _UNFINISHED.search(text, start) if any(text.find(c, start) >= 0 for c in starts) else None
        end = match.start() if match else len(text)
        self._held = text[end:]
        return clean(text[:end])

    def finish(self) -> str:
        """What was held back, made visible; the cleaner can be used again."""
        text, self._held = self._held, ""
        return clean(text)


def clip(text: str, limit: int) -> str:
    """`text` of at most `limit` characters, with a note of how much was left out of the middle."""
    if len(text) <= limit:
        return text
    note = f"\n[... {len(text) - limit:,}+ characters left out ...]\n"
    room = limit - len(note)
    if room < 2:
        return text[: max(0, limit)]
    head = room * 2 // 3
    return f"{text[:head]}{note}{text[len(text) - (room - head) :]}"
