"""The signs: each is one cell wide in every terminal, and each state has a sign, a word and a role of its own.

Never draws; ASCII stands in where the terminal cannot show more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.runs import Outcome, RunState


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs. `bars` are heights for a strip of past runs."""

    ok: str = "✓"
    failed: str = "✗"
    running: str = "◉"
    waiting: str = "◌"
    retry: str = "↻"
    skipped: str = "⊘"
    canceled: str = "⊗"
    partly: str = "⊖"
    unknown: str = "?"
    quiet: str = "∙"
    opened: str = "▾"
    closed: str = "▸"
    mark: str = "▌"
    loop: str = "↻"
    into: str = "▸"
    rule: str = "─"
    side: str = "│"
    tee: str = "┬"
    tee_left: str = "├"
    tee_up: str = "┴"
    tee_right: str = "┤"
    cross: str = "┼"
    corners: str = "╭╮╰╯"
    bars: str = "▁▂▃▄▅▆"
    beam: str = "━"
    beam_left: str = "╺"
    beam_right: str = "╸"
    track: str = "┄"
    thumb: str = "┃"
    ellipsis: str = "…"
    dot: str = "·"
    to: str = "→"
    critical: str = "◂"
    dash: str = "–"
    queue: str = "┄"
    setup: str = "─"
    chosen: str = "∗"


UNICODE = Glyphs()
ASCII = Glyphs(
    ok="+",
    failed="x",
    running="*",
    waiting=".",
    retry="r",
    skipped="-",
    canceled="c",
    partly="!",
    unknown="?",
    quiet=".",
    opened="v",
    closed=">",
    mark=">",
    loop="#",
    into=">",
    rule="-",
    side="|",
    tee="+",
    tee_left="+",
    tee_up="+",
    tee_right="+",
    cross="+",
    corners="++++",
    bars="_.:-=#",
    beam="=",
    beam_left="=",
    beam_right="=",
    track=".",
    thumb="#",
    ellipsis="~",
    dot="-",
    to="->",
    critical="<",
    dash="-",
    queue=".",
    setup="-",
    chosen="#",
)


def choose(env: Mapping[str, str] = os.environ, *, ascii_only: bool = False) -> Glyphs:
    """Unicode where the locale is UTF-8 and the terminal is more than the Linux console; else ASCII."""
    if ascii_only or env.get("TERM", "") in ("linux", "dumb", "vt100", "vt220", "ansi"):
        return ASCII
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    # An empty locale is common in containers whose terminal is UTF-8 all the same; a named other one is not.
    utf8 = "utf-8" in locale.lower() or "utf8" in locale.lower() or (locale in ("", "C", "POSIX") and os.name == "nt")
    return UNICODE if utf8 or (locale in ("", "C", "POSIX") and _stdout_is_utf8()) else ASCII


def _stdout_is_utf8() -> bool:
    import sys

    encoding = getattr(sys.__stdout__, "encoding", "") or ""
    return encoding.lower().replace("-", "") == "utf8"


_BY_OUTCOME: dict[Outcome, tuple[str, str]] = {
    Outcome.QUEUED: ("waiting", "muted"),
    Outcome.PENDING: ("waiting", "muted"),
    Outcome.BLOCKED: ("waiting", "faint"),
    Outcome.RUNNING: ("running", "run"),
    Outcome.WAITING_FOR_RETRY: ("retry", "warn"),
    Outcome.TERMINATING: ("running", "warn"),
    Outcome.SUCCEEDED: ("ok", "ok"),
    Outcome.SUCCEEDED_WITH_FAILURES: ("partly", "warn"),
    Outcome.FAILED: ("failed", "error"),
    Outcome.TIMED_OUT: ("failed", "error"),
    Outcome.CANCELED: ("canceled", "warn"),
    Outcome.SKIPPED: ("skipped", "faint"),
    Outcome.EXCLUDED: ("skipped", "faint"),
    Outcome.DISABLED: ("skipped", "faint"),
    Outcome.UPSTREAM_FAILED: ("skipped", "muted"),
    Outcome.UPSTREAM_CANCELED: ("skipped", "muted"),
    Outcome.MAX_CONCURRENT_RUNS: ("skipped", "warn"),
    Outcome.UNKNOWN: ("unknown", "warn"),
}

# States of an update and of its flows, as the pipelines API names them. A word that is not here is shown as it comes.
_PIPELINE: dict[str, tuple[str, str, str]] = {
    "QUEUED": ("waiting", "muted", "queued"),
    "CREATED": ("waiting", "muted", "created"),
    "WAITING_FOR_RESOURCES": ("waiting", "run", "waiting for resources"),
    "INITIALIZING": ("running", "run", "initializing"),
    "RESETTING": ("running", "run", "resetting"),
    "SETTING_UP_TABLES": ("running", "run", "setting up tables"),
    "PLANNING": ("waiting", "run", "planning"),
    "STARTING": ("running", "run", "starting"),
    "RUNNING": ("running", "run", "running"),
    "STOPPING": ("running", "warn", "stopping"),
    "COMPLETED": ("ok", "ok", "completed"),
    "FAILED": ("failed", "error", "failed"),
    "CANCELED": ("canceled", "warn", "canceled"),
    "STOPPED": ("canceled", "warn", "stopped"),
    "SKIPPED": ("skipped", "faint", "skipped"),
    "EXCLUDED": ("skipped", "faint", "excluded"),
    "IDLE": ("waiting", "muted", "idle"),
}


def state_look(state: RunState, glyphs: Glyphs) -> tuple[str, str]:
    """(sign, role) of a run's or task run's state."""
    name, role = _BY_OUTCOME.get(state.outcome, ("unknown", "warn"))
    return str(getattr(glyphs, name)), role


def state_words(state: RunState) -> str:
    """The state in words; an unknown one as it came, a queued one with its reason."""
    if state.outcome is Outcome.UNKNOWN:
        return (state.life or state.result or "unknown").lower().replace("_", " ")
    if state.outcome is Outcome.QUEUED and state.queue_reason:
        return f"queued: {state.queue_reason.removeprefix('Queued due to ')}"
    return str(state.outcome.value)


def pipeline_look(state: str, glyphs: Glyphs) -> tuple[str, str, str]:
    """(sign, role, word) of an update's or flow's state; an unknown one keeps its word."""
    name, role, word = _PIPELINE.get(state, ("unknown", "warn", state.lower().replace("_", " ") or "unknown"))
    return str(getattr(glyphs, name)), role, word
