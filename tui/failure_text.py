"""Reads the text of a failure from a file or a pipe, of any size and encoding, with the line numbers an editor shows.

Never holds more than a bounded part of a huge file, and takes nothing for text that is none.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ..core.text import clean
from ..matrix.model import Diagnosis
from .place import Stop

WHOLE_BYTES = 96_000_000  # up to here all of it is read
HEAD_BYTES = 16_000_000  # of a larger one: so much of its start, and of its end
TAIL_BYTES = 64_000_000
_CHUNK = 1_000_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED = ((b"\x1f\x8b", "gunzip -c"), (b"PK\x03\x04", "unzip -p"), (b"BZh", "bunzip2 -c"), (b"\xfd7zXZ", "xz -dc"))


@dataclass(frozen=True, slots=True)
class FailureText:
    """A text that is clean. `note` says what of it was not read.

    `numbers` are the original numbers of its lines, where those differ from their position; None where they do not.
    """

    text: str
    note: str = ""
    numbers: tuple[int, ...] | None = None

    def numbered(self, diagnosis: Diagnosis) -> Diagnosis:
        """The diagnosis with the evidence at the lines of the original."""
        if self.numbers is None:
            return diagnosis
        last = len(self.numbers)
        evidence = (replace(e, line=self.numbers[min(e.line, last) - 1]) for e in diagnosis.evidence)
        return replace(diagnosis, evidence=tuple(evidence))


def read_file(path: Path) -> FailureText:
    """The text in `path`. Raises Stop where it cannot be read or is no text."""
    try:
        with path.open("rb") as stream:
            return read_stream(stream, str(path))
    except OSError as error:
        raise Stop(f"{path} cannot be read: {error.strerror or error}", code="file") from error


def read_stream(stream: BinaryIO, name: str) -> FailureText:
    """All of `stream`, or head and tail of a huge one. Raises Stop for what is no text, OSError."""
    whole = _read_up_to(stream, WHOLE_BYTES + 1)
    note, left_out = "", 0
    head, tail = whole, b""
    if len(whole) > WHOLE_BYTES:
        head, tail, left_out, size = _ends(whole, stream)
        note = f"{name} has {size / 1e6:,.0f} MB: the middle of it was not read, its start and its end were"
    del whole
    _refuse_what_is_no_text(head, name)
    encoding = next((encoding for bom, encoding in _BOMS if head.startswith(bom)), "utf-8")
    if tail and encoding not in ("utf-8", "utf-8-sig"):
        raise Stop(f"{name} is too large for a text in {encoding}", f"iconv -f {encoding} -t utf-8", code="file")
    raw = head.decode(encoding, "replace")
    numbers = None
    if tail:
        first = raw.count("\n")
        raw += tail.decode("utf-8", "replace")
        numbers = _numbers(raw, first, left_out)
    return _cleaned(raw, numbers, note)


def _cleaned(raw: str, numbers: tuple[int, ...] | None, note: str) -> FailureText:
    text = clean(raw)
    if text.count("\n") == raw.count("\n"):
        return FailureText(text, note, numbers)
    # A carriage return alone overwrites a line, and here it ends one; editors count on without it.
    pieces: list[str] = []
    kept: list[int] = []
    for index, line in enumerate(raw.split("\n")):
        parts = clean(line.removesuffix("\r")).split("\n")
        pieces += parts
        kept += [numbers[index] if numbers is not None else index + 1] * len(parts)
    return FailureText("\n".join(pieces), note, tuple(kept))


def _numbers(raw: str, first: int, left_out: int) -> tuple[int, ...]:
    lines = raw.count("\n") + 1
    return (*range(1, first + 1), *range(first + 1 + left_out, lines + left_out + 1))


def _ends(start: bytes, stream: BinaryIO) -> tuple[bytes, bytes, int, int]:
    """(head, tail, lines left out between them, size in bytes) of a stream whose start was read; whole lines each."""
    head = start[: start.rfind(b"\n", 0, HEAD_BYTES) + 1] or start[:HEAD_BYTES]
    rest = bytearray(start[len(head) :])
    left_out, size = 0, len(start)
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        rest += chunk
        if len(rest) > TAIL_BYTES + 16 * _CHUNK:
            cut = len(rest) - TAIL_BYTES
            left_out += rest.count(b"\n", 0, cut)
            del rest[:cut]
    cut = max(0, len(rest) - TAIL_BYTES)
    cut = rest.find(b"\n", cut) + 1 or cut
    left_out += rest.count(b"\n", 0, cut)
    return head, bytes(rest[cut:]), left_out, size


def _read_up_to(stream: BinaryIO, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (chunk := stream.read(min(_CHUNK, limit - len(data)))):
        data += chunk
    return bytes(data)


def _refuse_what_is_no_text(head: bytes, name: str) -> None:
    for magic, tool in _PACKED:
        if head.startswith(magic):
            raise Stop(f"{name} is packed, not a text", f"{tool} {name} | dbops-tui diagnose -", code="file")
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return
    start = head[:65_536]
    if start.count(b"\x00") > len(start) // 100:
        # A stray NUL is in many logs; a program or an image is full of them.
        raise Stop(f"{name} is a binary file, not a text", code="file")
    if start.decode("utf-8", "replace").count("\ufffd") > len(start) // 5:
        # Letters of an older encoding are a few in a hundred; of random bytes half are no text.
        raise Stop(f"{name} is no text, or none in UTF-8", f"iconv -t utf-8 {name}", code="file")
