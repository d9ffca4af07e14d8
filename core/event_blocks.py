"""Where an event log keeps what is long: messages as plain bytes, details and exceptions packed, a block at a time.

Never reads what it holds, and gives every row back as it was put in.
"""

from __future__ import annotations

import json
import marshal
import zlib
from collections.abc import Iterable
from typing import Any

BLOCK_BITS = 10
BLOCK = 1 << BLOCK_BITS
PACK_BITS = 8
PACK = 1 << PACK_BITS  # rows whose extras are packed together: fewer, because looking at one unpacks all of them
SEPARATOR = "\x00"  # stands in no clean text
_HELD_TEXTS = 16  # blocks whose messages stay apart
_HELD_EXTRAS = 8  # packs that stay unpacked: those are many objects

Extras = Any  # JSON values, and tuples of them


class Blocks:
    """Rows of (message, extras), counted from 0, only ever added to. Messages have to be clean."""

    __slots__ = ("_extras", "_messages", "_open_extras", "_open_messages", "_packed", "_split", "_unpacked")

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._packed: list[bytes] = []
        self._open_messages: list[str] = []
        self._open_extras: list[Extras] = []
        self._split: dict[int, list[str]] = {}
        self._unpacked: dict[int, list[Extras]] = {}

    def __len__(self) -> int:
        return (len(self._messages) << BLOCK_BITS) + len(self._open_messages)

    def add(self, messages: Iterable[str], extras: Iterable[Extras]) -> None:
        """Add rows; as many of one as of the other."""
        self._open_messages.extend(messages)
        self._open_extras.extend(extras)
        while len(self._open_messages) >= BLOCK:
            self._messages.append(SEPARATOR.join(self._open_messages[:BLOCK]).encode("utf-8", "replace"))
            del self._open_messages[:BLOCK]
        while len(self._open_extras) >= PACK:
            self._packed.append(_pack(self._open_extras[:PACK]))
            del self._open_extras[:PACK]

    def message(self, row: int) -> str:
        """The message of a row."""
        return self.messages(row >> BLOCK_BITS)[row & (BLOCK - 1)]

    def messages(self, block: int) -> list[str]:
        """All messages of a block; not to be changed."""
        if block >= len(self._messages):
            return self._open_messages
        held = self._split.get(block)
        if held is None:
            held = _keep(self._split, _HELD_TEXTS, block, self._messages[block].decode().split(SEPARATOR))
        return held

    def text(self, block: int) -> bytes:
        """The messages of a block in one piece, for a search that most blocks need not go beyond."""
        if block >= len(self._messages):
            return SEPARATOR.join(self._open_messages).encode("utf-8", "replace")
        return self._messages[block]

    def sealed(self, block: int) -> bool:
        """Whether a block stays as it is."""
        return block < len(self._messages)

    def extras(self, row: int) -> Extras:
        """The extras of a row."""
        pack, place = row >> PACK_BITS, row & (PACK - 1)
        if pack >= len(self._packed):
            return self._open_extras[place]
        held = self._unpacked.get(pack)
        if held is None:
            held = _keep(self._unpacked, _HELD_EXTRAS, pack, marshal.loads(zlib.decompress(self._packed[pack])))
        return held[place]


def _keep(held: dict[int, Any], most: int, number: int, value: Any) -> Any:
    if len(held) >= most:
        del held[next(iter(held))]
    held[number] = value
    return value


def _pack(extras: list[Extras]) -> bytes:
    # marshal, because it is several times faster than JSON, and because nobody but this process ever reads it.
    try:
        packed = marshal.dumps(extras)
    except ValueError:
        packed = marshal.dumps(json.loads(json.dumps(extras, default=str)))
    return zlib.compress(packed, 1)
