"""The words for where the loop stands and how it ended, apart from the machine, so that a first paint is cheap.

Never grows beyond these two; what leads from one stage to the next is in `loop.py`.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where the loop stands. The value is the word shown on the strip."""

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
    """How a loop ended, as `loop.ended` says it. DEPLOYED is the end of a deploy that had nothing to run."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    DEPLOYED = "deployed"
    ESCALATED = "escalated"
    BLOCKED = "blocked"
    INTERRUPTED = "interrupted"
