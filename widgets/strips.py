"""The words of header, loop strip and status line for a given width. Pure.

Never longer than the width: what matters least goes first.
"""

from __future__ import annotations

import math

from ..core.stages import LoopOutcome, Stage
from ..core.state import State
from .glyphs import Glyphs
from .spans import Span, Spans, crop, fit, span, spread, width_of
from .words import host_name, plural

STAGES = (Stage.DEPLOY, Stage.POLL, Stage.DIAGNOSE, Stage.FIX, Stage.REDEPLOY, Stage.VERIFY)
_OUTCOMES: dict[LoopOutcome, tuple[str, str]] = {
    LoopOutcome.VERIFIED: ("verified", "ok"),
    LoopOutcome.PARTIAL: ("verified, partly", "warn"),
    LoopOutcome.DEPLOYED: ("deployed", "ok"),
    LoopOutcome.ESCALATED: ("escalated to you", "error"),
    LoopOutcome.BLOCKED: ("blocked", "warn"),
    LoopOutcome.INTERRUPTED: ("interrupted", "warn"),
}


def is_production(state: State) -> bool:
    """Whether changes here are changes of production."""
    identity = state.identity
    if identity.mode:
        return identity.mode == "production"
    bundle = state.bundle
    target = next((t for t in bundle.targets if t.name == bundle.target), None) if bundle else None
    return (target is not None and target.mode == "production") or identity.target.lower() in ("prod", "production")


def is_read_only(state: State, monotonic: float) -> bool:
    """Whether nothing may be changed now: by flag, or because a console that has to be armed is not."""
    return state.read_only or (state.armed_until is not None and monotonic >= state.armed_until)


def armed_words(state: State, monotonic: float) -> str:
    """How long changes are allowed, in m:ss; far from the end in steps of five seconds, so that little is written."""
    left = math.ceil(state.armed_until - monotonic) if state.armed_until is not None else 0
    left = -(-left // 5) * 5 if left > 20 else left
    return f"{left // 60}:{left % 60:02}" if left > 0 and not state.read_only else ""


def header_line(state: State, width: int, glyphs: Glyphs, monotonic: float = 0.0) -> Spans:
    """Where changes would go: bundle, target, host, profile, user; badges at the right."""
    bundle, identity = state.bundle, state.identity
    production = is_production(state)
    target = identity.target or (bundle.target if bundle else "") or "default"
    left: list[Span] = [(" dbops ", "accent+b")] if width >= 64 else []
    name = bundle.name if bundle else "no bundle"
    left += [span(f" {name}", "b"), (f" {glyphs.into} ", "faint"), span(target, "error+b" if production else "ok+b")]
    badges: list[Span] = []
    if production:
        badges += [(" PRODUCTION ", "background+b+on.error"), (" ", "")]
    armed = armed_words(state, monotonic)
    if armed:
        badges += [(f" ARMED {armed} ", "background+b+on.error"), (" ", "")]
    elif is_read_only(state, monotonic):
        badges += [(" READ-ONLY " if state.read_only else " READ-ONLY: A arms ", "background+b+on.warn"), (" ", "")]
    if state.signed_out:
        badges += [(" signed out: i ", "background+b+on.warn"), (" ", "")]
    if state.auto:
        badges += [("auto", "run+b"), (" ", "")]
    elif not state.watching:
        badges += [("not watching", "faint"), (" ", "")]
    room = width - width_of(tuple(left)) - width_of(tuple(badges)) - 1
    who: list[tuple[str, str]] = []
    host = host_name(identity.host or (bundle.workspace_host if bundle else ""))
    if host:
        who.append((f"   {host}", "text"))
    if identity.profile:
        who.append((f" ({identity.profile})", "muted"))
    if identity.user:
        who.append((f"  {identity.user}", "muted"))
    if identity.problem:
        who = [*who[:1], ("  not signed in" if not identity.host else "  identity unresolved", "warn")]
    # The host stays longest: acting at the wrong place is the worst that can happen here.
    while who and sum(width_of((s,)) for s in who) > room:
        if len(who) > 1:
            who.pop()
        else:
            text, role = who[0]
            who = [(crop(text, room, glyphs.ellipsis), role)] if room > 8 else []
            break
    left += [span(text, role) for text, role in who]
    return spread(tuple(left), tuple(badges), width)


def loop_line(state: State, width: int, glyphs: Glyphs, right: Spans = ()) -> Spans:
    """`⬥ Deploy ✓ ─ Poll ◉ ─ Diagnose ─ Fix ─ Redeploy ─ Verify   1/3`, shorter where there is less room."""
    view = state.loop
    marks = dict(view.marks)
    full: list[Span] = [(f" {glyphs.loop} ", "accent")]
    active: Span = ("idle", "muted")
    for number, stage in enumerate(STAGES):
        mark = marks.get(stage, "")
        word = stage.value.capitalize()
        sign, role = {
            "done": (f" {glyphs.ok}", "ok"),
            "active": (f" {glyphs.running}", "run"),
            "failed": (f" {glyphs.failed}", "error"),
        }.get(mark, ("", "faint"))
        if mark == "active" or (mark == "failed" and view.stage is stage):
            active = (f"{word}{sign}", role)
        text_role = {"done": "muted", "active": "run+b", "failed": "error+b"}.get(mark, "faint")
        full += [(f" {glyphs.rule} ", "rule")] if number else []
        full += [(word, text_role), (sign, role)]
    tail: list[Span] = []
    if view.iteration:
        tail.append((f"   {view.iteration}/{view.max_iterations}", "muted"))
    if view.outcome is not None:
        words, role = _OUTCOMES.get(view.outcome, (str(view.outcome.value), "muted"))
        sign = glyphs.ok if role == "ok" else glyphs.failed if role == "error" else glyphs.partly
        tail.append((f"  {sign} {words}", f"{role}+b"))
        active = (f"{sign} {words}", role)
    line = (*full, *tail)
    if width_of(line) + (width_of(right) + 2 if right else 0) > width:
        if width_of(line) <= width:
            right = ()
        else:
            line = ((f" {glyphs.loop} ", "accent"), active, *tail[:1])
            line = line if width_of(line) <= width else ((f" {glyphs.loop} ", "accent"), active)
    return spread(line, right, width)


def many_requests(state: State) -> bool:
    """Whether nearly all requests that are allowed in a minute have been spent."""
    spent, allowed = state.requests
    return allowed > 0 and spent * 10 >= allowed * 9


def status_line(
    state: State,
    width: int,
    glyphs: Glyphs,
    *,
    notice: Span | None = None,
    now_ms: int = 0,
) -> Spans:
    """Why nothing happens, or what does: a notice first, then what is old, blocked or busy, then the hold reason."""
    if notice is not None:
        return fit(((" ", ""), notice), width)
    parts: list[Spans] = []
    if state.stale is not None:
        age = max(0, now_ms - state.stale.since_ms) // 1000
        words = f"{age // 60} min" if age >= 120 else f"{age // 10 * 10} s" if age >= 10 else "a moment"
        parts.append(((f"{glyphs.partly} shown as of {words} ago: ", "warn"), span(state.stale.reason, "warn")))
    if state.signed_out:
        parts.append(((f"{glyphs.partly} signed out: i signs in, monitoring waits", "warn"),))
    if state.identity.problem:
        parts.append((span(f"{glyphs.partly} {state.identity.problem}", "warn"),))
    if state.cleanup:
        parts.append(((f"{glyphs.partly} deployed elsewhere too: K settles that", "warn"),))
    if state.busy:
        parts.append(((f"{glyphs.running} ", "run"), span(state.busy, "run")))
    if state.loop.hold:
        parts.append((span(state.loop.hold, "muted"),))
    if state.pending_files:
        files = plural(len(state.pending_files), "file")
        then = "redeploys by itself" if state.auto else "d to redeploy"
        parts.append(((f"{glyphs.partly} {files} changed", "warn"), (f", {then}", "muted")))
    if state.journal_note:
        parts.append((span(state.journal_note, "warn"),))
    if state.cli_problem:
        parts.append((span(state.cli_problem, "warn"),))
    if many_requests(state) and width < 68:
        parts.insert(0, ((f"{state.requests[0]} of {state.requests[1]} requests this minute", "warn"),))
    if not parts:
        parts.append((("Ready.", "faint"),) if not state.bundle_note else (span(state.bundle_note, "warn"),))
    left: list[Span] = [(" ", "")]
    for number, part in enumerate(parts):
        left += [(f"  {glyphs.dot}  ", "faint")] if number else []
        left += part
    return fit(tuple(left), width)
