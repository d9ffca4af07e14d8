"""The one guard: everything that changes a workspace or the source passes here, at the transport.

Whoever wants to know what this program can do to a workspace reads this file. It decides; it never acts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from .state import Identity

ActKind = Literal[
    "deploy", "run", "repair", "cancel", "stop", "update", "destroy", "sql", "login", "patch", "fixer", "clear_state"
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of act may do. `remote` changes the workspace, `destructive` can lose data or state."""

    what: str
    remote: bool = True
    destructive: bool = False
    needs_identity: bool = True
    cli: tuple[str, ...] = ()  # the CLI verbs it may run
    http: tuple[tuple[str, str], ...] = ()  # (method, path pattern) it may send


RULES: Mapping[str, Rule] = {
    "deploy": Rule("deploys the bundle", cli=("bundle deploy",)),
    "run": Rule("starts a run of a job", cli=("bundle run",)),
    "update": Rule("starts an update of a pipeline", cli=("bundle run",)),
    "repair": Rule("runs failed tasks again", http=(("POST", r"/api/2\.[12]/jobs/runs/repair"),)),
    "cancel": Rule("cancels a run", http=(("POST", r"/api/2\.[12]/jobs/runs/cancel"),)),
    "stop": Rule("stops an update", http=(("POST", r"/api/2\.0/pipelines/[^/]+/stop"),)),
    "sql": Rule("runs a statement, which may start a warehouse", http=(("POST", r"/api/2\.0/sql/statements"),)),
    "destroy": Rule("destroys what the bundle deployed", destructive=True, cli=("bundle destroy",)),
    "login": Rule("signs in", remote=False, needs_identity=False, cli=("auth login",)),
    "patch": Rule("edits source files of the bundle", remote=False, needs_identity=False),
    "fixer": Rule("lets a program edit source files of the bundle", remote=False, needs_identity=False),
    "clear_state": Rule("forgets the local deployment state", remote=False, destructive=True, needs_identity=False),
}

# What needs no permit, because it changes nothing: CLI verbs, and POSTs that only read.
READING_CLI = (
    "bundle validate",
    "bundle summary",
    "bundle plan",
    "bundle schema",
    "auth describe",
    "auth profiles",
    "current-user me",
    "version",
    "--version",
)
READING_HTTP = (
    ("POST", r"/api/2\.[01]/clusters/events"),
    ("POST", r"/api/2\.0/sql/statements/[^/]+/cancel"),
)


class Refused(Exception):
    """The guard says no. `reason` is one sentence, `flag` what would answer it, `exit_code` what a script sees."""

    def __init__(self, reason: str, *, exit_code: int = 3, flag: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done, where. `command` is what a person could type; `confirm_word` what must be typed for it."""

    kind: ActKind
    key: str
    host: str = ""
    target: str = ""
    command: str = ""
    destructive: bool = False
    confirm_word: str = ""
    token: str = ""  # random and stored before the call, where the platform takes one
    data: Mapping[str, object] = field(default_factory=dict)


class IntentLog(Protocol):
    """Where intents are written before an operation starts. Raises Refused where a row cannot be written."""

    async def intent(self, act: Act) -> int: ...

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None: ...


class Permit:
    """Leave for one act, once. The transport consumes it; whoever acted says how it ended."""

    __slots__ = ("_log", "_valid", "act", "consumed", "op_id")

    def __init__(self, act: Act, op_id: int, log: IntentLog | None, valid: Callable[[], str]) -> None:
        self.act = act
        self.op_id = op_id
        self.consumed = False
        self._log = log
        self._valid = valid

    def consume(self) -> None:
        """Use it up, just before the call. Raises Refused where it was used already or the place has changed."""
        if self.consumed:
            raise Refused(f"the permit to {self.act.kind} was used already")
        problem = self._valid()
        if problem:
            raise Refused(problem)
        self.consumed = True

    async def ended(self, outcome: Literal["done", "refused", "unknown"], **data: object) -> None:
        """Write down how the act ended. `unknown` is what must be looked at before it is done again."""
        if self._log is not None:
            await self._log.result(self.op_id, outcome, data)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user allows: read-only, which targets count as production, and whether those may go without a word."""

    read_only: bool = False
    production_targets: tuple[str, ...] = ("prod", "production")
    auto_in_production: bool = False


class Guard:
    """Asks the same questions for every act, whichever key, command, resume or watcher wanted it."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        policy: Policy,
        log: IntentLog | None = None,
        *,
        armed: Callable[[], bool] | None = None,
    ) -> None:
        self._identity = identity
        self.policy = policy
        self._log = log
        self._armed = armed

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed now: by flag, or because it is not armed."""
        return self.policy.read_only or (self._armed is not None and not self._armed())

    def production(self, identity: Identity) -> bool:
        """Whether this is a production target: by its mode, or because the config names it so."""
        return identity.mode == "production" or identity.target in self.policy.production_targets

    def confirm_word(self, act: Act) -> str:
        """What a person has to type for this act; empty where a `y` is enough."""
        if act.destructive or RULES[act.kind].destructive:
            return act.confirm_word or act.target or act.key
        if RULES[act.kind].remote and self.production(self._identity()):
            return self._identity().target
        return ""

    async def permit(self, act: Act, *, confirmed: str = "", automatic: bool = False) -> Permit:
        """Leave for `act`, its intent written down first. Raises Refused with the reason and the flag that answers.

        `confirmed` is the word a person typed (or a flag gave); `automatic` tells that nobody asked for this very act.
        """
        rule = RULES[act.kind]
        identity = self._identity()
        if self.read_only:
            raise Refused(f"read-only: nothing that {rule.what} is done", flag="start without --read-only")
        if rule.needs_identity:
            self._check_place(act, identity)
        word = self.confirm_word(act)
        if word:
            destructive = act.destructive or rule.destructive
            if automatic and (destructive or not self.policy.auto_in_production):
                raise Refused(
                    f"{rule.what} on {identity.target or act.target}: that needs a typed {word!r}, never by itself",
                    flag=f"--confirm {word}",
                )
            if not automatic and confirmed != word:
                raise Refused(f"{rule.what}: type {word!r} to confirm", flag=f"--confirm {word}")
        op_id = await self._log.intent(act) if self._log is not None else 0
        return Permit(act, op_id, self._log, lambda: self._still_valid(act, rule))

    def _check_place(self, act: Act, identity: Identity) -> None:
        if identity.problem:
            raise Refused(identity.problem, flag="--profile")
        if not identity.resolved:
            raise Refused("it is not known yet who acts where", flag="--profile")
        if act.host and act.host != identity.host:
            raise Refused(f"the workspace changed from {act.host} to {identity.host}")
        if act.target and act.target != identity.target:
            raise Refused(f"the target changed from {act.target} to {identity.target}")

    def _still_valid(self, act: Act, rule: Rule) -> str:
        if self.read_only:
            return "read-only"
        if not rule.needs_identity:
            return ""
        try:
            self._check_place(act, self._identity())
        except Refused as refused:
            return refused.reason
        return ""

    def check_cli(self, words: Sequence[str], permit: Permit | None = None) -> None:
        """Whether this CLI call may go out. Raises Refused for a verb that changes something without its permit."""
        verb = _verb(words)
        if verb in READING_CLI:
            return
        if permit is None or not permit.consumed or verb not in RULES[permit.act.kind].cli:
            raise Refused(f"`databricks {verb}` is not allowed here")
        if self.read_only:
            raise Refused("read-only")

    def check_http(self, method: str, path: str, permit: Permit | None = None) -> None:
        """Whether this request may go out. Raises Refused for one that changes something without its permit."""
        if method in ("GET", "HEAD") or _any_match(READING_HTTP, method, path):
            return
        if permit is None or not permit.consumed or not _any_match(RULES[permit.act.kind].http, method, path):
            raise Refused(f"{method} {path} is not allowed here")
        if self.read_only:
            raise Refused("read-only")

    def check_write(self, path: Path, root: Path, permit: Permit | None = None) -> None:
        """Whether this source file may be written. Raises Refused outside of `root` or without leave to edit."""
        if permit is None or permit.act.kind not in ("patch", "fixer"):
            raise Refused(f"{path.name} is not to be edited here")
        if self.read_only:
            raise Refused("read-only")
        if not path.resolve().is_relative_to(root.resolve()):
            raise Refused(f"{path} is outside of the bundle")
        if ".databricks" in path.relative_to(root).parts or ".git" in path.relative_to(root).parts:
            raise Refused(f"{path.name} is not source")


def _verb(words: Sequence[str]) -> str:
    """The verb of a CLI call: its first two words that are not flags, or the first where it stands alone."""
    plain = []
    for word in words:
        if word.startswith("-") and word != "--version":
            break
        plain.append(word)
    return " ".join(plain[:2])


def _any_match(allowed: Sequence[tuple[str, str]], method: str, path: str) -> bool:
    return any(method == verb and re.fullmatch(pattern, path) for verb, pattern in allowed)
