"""The loop as a pure state machine: step(state, event) -> (state, commands).

No clock, no I/O, no randomness: everything it knows came in an event, everything it wants goes out as a command.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where the loop stands. The first six are the strip on screen; the value is the word shown."""

    IDLE = "idle"
    DEPLOY = "deploy"
    POLL = "poll"
    DIAGNOSE = "diagnose"
    FIX = "fix"
    REDEPLOY = "redeploy"
    VERIFY = "verify"
    PAUSED = "paused"
    ENDED = "ended"


class LoopOutcome(StrEnum):
    """How a loop ended, as `loop.ended` says it."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    ESCALATED = "escalated"
    BLOCKED = "blocked"
    INTERRUPTED = "interrupted"
