"""Why a call of the CLI did not come through, told from its reason: what may pass, and what a sign-in would mend.

Never of a failure of the bundle itself: that is no block.
"""

from __future__ import annotations

from .workspace import WorkspaceError

_SIGN_IN = ("sign-in", "not signed in", "does not accept")
_PASSING = (*_SIGN_IN, "cannot be reached", "asks us to slow down", "trouble of its own")


def of_sign_in(reason: str) -> bool:
    """Whether the workspace does not know, or not accept, who asks."""
    return any(word in reason for word in _SIGN_IN)


def passing(reason: str) -> bool:
    """Whether that reason may pass: no answer, too many calls, or a sign-in that ran out."""
    return any(word in reason for word in _PASSING)


def unmeasured(reason: str) -> WorkspaceError:
    """The error of a call that was blocked by what may pass."""
    return WorkspaceError("signed_out" if of_sign_in(reason) else "server", reason)
