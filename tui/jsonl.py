"""The one writer of JSON Lines: each event one object on stdout, flushed, and exactly one last one marked as final.

Never writes talk, never a half line, and nothing after the final event.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, TextIO

VERSION = 1


class JsonLines:
    """Writes to `stream` (default: stdout as it is at that moment). `ended` tells that the final event is out.

    `over` tells the same of stdout, whoever wrote to it: what goes wrong after the end adds no second one.
    """

    over: ClassVar[bool] = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self.ended = False

    def event(self, event: Any, *, final: bool = False) -> None:
        """An event of the engine (core/events.py), as the contract has it."""
        from ..core.events import to_json

        self.object(to_json(event), final=final)

    def write(self, name: str, body: Mapping[str, Any], *, final: bool = False) -> None:
        """An event of a command: its name, then its fields as JSON data."""
        self.object({"v": VERSION, "event": name, "at": now(), **body}, final=final)

    def end(self, name: str, body: Mapping[str, Any], *, exit_code: int = 0) -> int:
        """The final event of a command, with its exit status, which is returned."""
        self.write(name, {"exit_code": exit_code, **body}, final=True)
        return exit_code

    def object(self, body: dict[str, Any], *, final: bool = False) -> None:
        """One object as one line. Raises ValueError after the final one."""
        if self.ended:
            raise ValueError(f"{body.get('event')}: the stream has ended")
        if final:
            body = {**body, "final": True}
            self.ended = True
            JsonLines.over = JsonLines.over or self._stream is None
        stream = self._stream or sys.stdout
        stream.write(line_of(body) + "\n")
        stream.flush()


def line_of(body: dict[str, Any]) -> str:
    """One line of JSON that every reader takes: no NaN, and no half of a surrogate pair."""
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(body), ensure_ascii=False, separators=(",", ":"))
    text = text.encode("utf-8", "replace").decode()
    if text.isprintable():
        return text
    # What a terminal could obey is written as JSON writes it elsewhere too: whoever reads the line gets the same.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _finite(value: Any) -> Any:
    """The data with what is no number in JSON as null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def now() -> str:
    """The moment as the contract writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
