"""The one guard: everything that changes a workspace or the source passes here, at the transport.

Whoever wants to know what this program can do to a workspace reads this file. It decides; it never acts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from .atomicfile import Outside, inside
from .state import Identity

# What would answer a refusal, where its words depend on who acts where: `identity.answer` tells the whole of them.
PROFILE, LOGIN = "--profile", "databricks auth login"

ActKind = Literal[
    "deploy", "run", "update", "repair", "cancel", "stop", "sql", "destroy", "login", "patch", "fixer", "clear_state"
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of act may do and what it takes.

    `remote` reaches the workspace; `destructive` can lose data or state and takes a typed word each time; `by_itself`
    may be done by the loop where nobody asked for this very act; `needs_intent` is written to the journal first.
    """

    what: str
    remote: bool = True
    destructive: bool = False
    by_itself: bool = False
    needs_identity: bool = True
    needs_intent: bool = True
    cli: tuple[str, ...] = ()  # the CLI verbs it may run
    http: tuple[tuple[str, str], ...] = ()  # (method, pattern of the path) it may send
    writes: str = ""  # source | state: which files below the bundle's root it may touch


# Everything this program can do to a workspace or to the source. There is nothing else.
RULES: Mapping[str, Rule] = {
    "deploy": Rule("deploys the bundle", by_itself=True, cli=("bundle deploy",)),
    "run": Rule("starts a run of a job", by_itself=True, cli=("bundle run",)),
    "update": Rule("starts an update of a pipeline", by_itself=True, cli=("bundle run",)),
    "repair": Rule("runs failed tasks again", by_itself=True, http=(("POST", r"/api/2\.[12]/jobs/runs/repair"),)),
    "cancel": Rule("cancels a run", http=(("POST", r"/api/2\.[12]/jobs/runs/cancel"),)),
    "stop": Rule("stops an update", http=(("POST", r"/api/2\.0/pipelines/[\w-]+/stop"),)),
    "sql": Rule(
        "runs a statement, which may start a warehouse",
        http=(("POST", r"/api/2\.0/sql/statements/?"), ("POST", r"/api/2\.0/sql/statements/[\w-]+/cancel")),
    ),
    "destroy": Rule("destroys what the bundle deployed", destructive=True, cli=("bundle destroy",)),
    "login": Rule("signs in", remote=False, needs_identity=False, needs_intent=False, cli=("auth login",)),
    "patch": Rule("edits the source", remote=False, by_itself=True, needs_identity=False, writes="source"),
    "fixer": Rule(
        "lets a program edit the source", remote=False, by_itself=True, needs_identity=False, writes="source"
    ),
    "clear_state": Rule(
        "forgets the local deployment state", remote=False, destructive=True, needs_identity=False, writes="state"
    ),
}

# What needs no permit, because it changes nothing: CLI verbs, and POSTs that only read.
READING_CLI = frozenset(
    {
        *("bundle validate", "bundle summary", "bundle plan", "bundle schema", "auth describe", "auth profiles"),
        *("current-user me", "version", "--version"),
    }
)
READING_HTTP = (("POST", r"/api/2\.[012]/clusters/events"),)

# Flags that turn a harmless verb into one that breaks a lock, deletes, recreates, or refills from nothing.
DESTRUCTIVE_FLAGS = frozenset(
    {"--force-lock", "--force", "--auto-approve", "--full-refresh", "--full-refresh-all", "--restart"}
)
NEVER_FLAGS = frozenset({"--sensitive"})  # prints secrets

PERMIT_SECONDS = 120.0
# What can still change something in a statement that starts like a query (`WITH ... INSERT`), or reach outside of it.
_CHANGING_SQL = re.compile(
    r"\b(?:INSERT\s+(?:INTO|OVERWRITE|TABLE)\b|MERGE\s+(?:INTO|WITH)\b|DELETE\s+FROM\b|UPDATE\s[\w.\s]*?\bSET\b"
    r"|(?:try_)?reflect\s*\(|java_method\s*\(|http_request\s*\()",
    re.IGNORECASE,
)
_SQL_QUIET = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)


class Refused(Exception):
    """The guard says no. `reason` is one sentence, `flag` what would answer it, `exit_code` what a script sees."""

    def __init__(self, reason: str, *, exit_code: int = 3, flag: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done, where. Make one with `Guard.act`, when a person is asked: it then holds what they saw.

    `command` is what a person could type; `confirm_word` what must be typed for it, where that is not the target.
    """

    kind: ActKind
    key: str
    host: str = ""
    target: str = ""
    user: str = ""
    profile: str = ""
    command: str = ""
    destructive: bool = False
    confirm_word: str = ""
    token: str = ""  # random and stored before the call, where the platform takes one
    data: Mapping[str, object] = field(default_factory=dict)


class IntentLog(Protocol):
    """Where intents are written before an operation starts. Raises Refused where a row cannot be written."""

    async def intent(self, act: Act) -> int: ...

    async def result(self, op_id: int, outcome: str, data: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, slots=True)
class NoJournal:
    """Stands where a journal should be: why there is none, and the exit status of what is refused for it."""

    reason: str = "there is none"
    exit_code: int = 1


class Permit:
    """Leave for one act, once, soon, at one place. The transport consumes it; whoever acted says how it ended."""

    __slots__ = ("_log", "_passed", "_valid", "act", "consumed", "op_id")

    def __init__(self, act: Act, op_id: int, log: IntentLog | None, valid: Callable[[], str]) -> None:
        self.act = act
        self.op_id = op_id
        self.consumed = False
        self._passed = False
        self._log = log
        self._valid = valid

    def consume(self) -> None:
        """Use it up, just before the call. Raises Refused where it was used, is old, or the place has changed."""
        self.check()
        self.consumed = True

    def check(self) -> None:
        """Raises Refused where it could not be consumed now."""
        if self.consumed:
            raise Refused(f"the permit to {self.act.kind} was used already")
        problem = self._valid()
        if problem:
            raise Refused(problem)

    def pass_once(self) -> None:
        """Let one call through, after `consume`. Raises Refused for a second one."""
        if not self.consumed or self._passed:
            raise Refused(f"the permit to {self.act.kind} is good for one call")
        self._passed = True

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


class Arming:
    """A read-only start that a person lifts for a while: `arm()` allows changes for `seconds`, then that ends."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._until = float("-inf")

    def arm(self) -> None:
        """Allow changes from now on, for the whole span again."""
        self._until = self._clock() + self.seconds

    def disarm(self) -> None:
        self._until = float("-inf")

    def left(self) -> float:
        """Seconds until it is read-only again; 0 where it is."""
        return max(0.0, self._until - self._clock())

    def __call__(self) -> bool:
        return self.left() > 0


class Guard:
    """Asks the same questions for every act, whichever key, command, resume or watcher wanted it."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        policy: Policy,
        log: IntentLog | NoJournal = NoJournal(),
        *,
        armed: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` is the journal, or why there is none: then nothing is permitted that has to be written down first.

        It can be replaced later (`guard.log = journal`).
        """
        self._identity = identity
        self.policy = policy
        self.log = log
        self._armed = armed
        self._clock = clock

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed now: by flag, or because it is not armed."""
        return self.policy.read_only or (self._armed is not None and not self._armed())

    def production(self, identity: Identity | None = None) -> bool:
        """Whether this is a production target: by its mode, or because the config names it so."""
        identity = identity or self._identity()
        named = {name.casefold() for name in self.policy.production_targets}
        return identity.mode == "production" or identity.target.casefold() in named

    def act(self, kind: ActKind, key: str, **more: object) -> Act:
        """An act at the place where we are now. `more` are further fields of Act."""
        here = self._identity()
        place = {"host": here.host, "target": here.target, "user": here.user, "profile": here.profile}
        return Act(kind, key, **{**place, **more})  # type: ignore[arg-type]

    def confirm_word(self, act: Act) -> str:
        """What a person has to type for this act; empty where a `y` is enough."""
        rule = RULES[act.kind]
        if act.destructive or rule.destructive:
            return act.confirm_word or act.target or act.key
        if rule.remote and self.production():
            return act.confirm_word or self._identity().target or act.key
        return ""

    def refusal(self, act: Act, *, automatic: bool = False) -> str:
        """Why `act` is not even asked for now, in one sentence; empty where it may be. For the view of actions."""
        try:
            self._check(act, confirmed=self.confirm_word(act), automatic=automatic)
        except Refused as refused:
            return refused.reason
        return ""

    async def permit(self, act: Act, *, confirmed: str = "", automatic: bool = False) -> Permit:
        """Leave for `act`, its intent written down first. Raises Refused with the reason and the flag that answers.

        `confirmed` is the word a person typed (or a flag gave); `automatic` tells that nobody asked for this very act.
        """
        self._check(act, confirmed=confirmed, automatic=automatic)
        before = self._identity()
        log = self.log if RULES[act.kind].needs_intent and not isinstance(self.log, NoJournal) else None
        op_id = await log.intent(act) if log is not None else 0
        until = self._clock() + PERMIT_SECONDS
        return Permit(act, op_id, log, lambda: self._problem(act, before, until))

    def _check(self, act: Act, *, confirmed: str, automatic: bool) -> None:
        rule = RULES.get(act.kind)
        if rule is None:
            raise Refused(f"{act.kind!r} is nothing that this program does", exit_code=2)
        if self.policy.read_only:
            raise Refused(f"read-only: nothing that {rule.what}", flag="start without --read-only")
        if self.read_only:
            raise Refused(f"not armed: nothing that {rule.what} before `A` is pressed")
        if rule.needs_intent and isinstance(self.log, NoJournal):
            reason = f"without a journal nothing that {rule.what}: {self.log.reason}"
            raise Refused(reason, exit_code=self.log.exit_code, flag="DBOPS_STATE_DIR")
        if rule.needs_identity:
            self._check_place(act, self._identity())
        if act.kind == "sql":
            check_sql(str(act.data.get("statement", "")), destructive=act.destructive)
        self._check_word(act, rule, confirmed, automatic)

    def _check_word(self, act: Act, rule: Rule, confirmed: str, automatic: bool) -> None:
        word = self.confirm_word(act)
        destructive = act.destructive or rule.destructive
        if automatic and (destructive or not rule.by_itself):
            raise Refused(f"never by itself: what {rule.what} is for a person to ask for", flag=f"--confirm {word}")
        if not word:
            return
        if automatic:
            if not self.policy.auto_in_production:
                raise Refused(
                    f"{self._identity().target} is a production target: what {rule.what} is not done by itself there",
                    flag="auto_in_production in the config",
                )
        elif confirmed != word:
            raise Refused(f"{act.key}: type {word!r} to confirm what {rule.what}", flag=f"--confirm {word}")

    def _check_place(self, act: Act, identity: Identity) -> None:
        if identity.problem:
            raise Refused(identity.problem, flag=PROFILE)
        if not identity.resolved:
            raise Refused("it is not known yet who acts where", flag=PROFILE)
        if not act.host:
            raise Refused(f"{act.key}: the act does not say where")
        for word, then, now in (
            ("workspace", act.host, identity.host),
            ("target", act.target, identity.target),
            ("user", act.user, identity.user),
            ("profile", act.profile, identity.profile),
        ):
            if then and then != now:
                raise Refused(f"the {word} changed from {then} to {now or 'none'} since this was asked", flag=PROFILE)

    def _problem(self, act: Act, before: Identity, until: float) -> str:
        if self.read_only:
            return "read-only"
        if self._clock() > until:
            return f"the permit to {act.kind} is too old: ask again"
        if not RULES[act.kind].needs_identity:
            return ""
        now = self._identity()
        if (now.host, now.target, now.user, now.profile, now.mode) != (
            *(before.host, before.target, before.user, before.profile),
            before.mode,
        ):
            return f"who acts where changed from {_where(before)} to {_where(now)}"
        try:
            self._check_place(act, now)
        except Refused as refused:
            return refused.reason
        return ""

    # --- what the transports ask, just before the first byte --------------------------------------------------------

    def check_cli(
        self, words: Sequence[str], permit: Permit | None = None, *, env: Mapping[str, str] | None = None
    ) -> None:
        """Whether this CLI call may go out; `permit` consumed. Raises Refused for one that changes something without.

        A call that changes something names its target and its profile itself; where there is no profile, `env` (the
        environment of the child, where given) has to name the host.
        """
        verb, flags = verb_of(words), flags_of(words)
        if NEVER_FLAGS & flags.keys():
            raise Refused(f"`databricks {verb}` with {', '.join(NEVER_FLAGS & flags.keys())} prints secrets")
        if verb in READING_CLI:
            return
        if permit is None or verb not in RULES[permit.act.kind].cli:
            raise Refused(f"`databricks {verb}` is not allowed here")
        if self.read_only:
            raise Refused("read-only", flag="start without --read-only")
        act, rule = permit.act, RULES[permit.act.kind]
        risky = DESTRUCTIVE_FLAGS & flags.keys()
        if risky and not (act.destructive or rule.destructive):
            raise Refused(f"{', '.join(sorted(risky))} can lose data or break a lock: that takes a typed word")
        if rule.remote:
            self._check_cli_place(act, flags, env)
        permit.pass_once()

    def _check_cli_place(self, act: Act, flags: Mapping[str, str], env: Mapping[str, str] | None) -> None:
        here = self._identity()
        for name, short, wanted in (("target", "-t", act.target), ("profile", "-p", act.profile or here.profile)):
            given = flags.get(f"--{name}", flags.get(short, ""))
            if given != wanted:
                raise Refused(f"the command names {name} {given or 'none'}, but {wanted or 'none'} was permitted")
        if env is not None and not here.profile:
            host = env.get("DATABRICKS_HOST", "").rstrip("/").lower()
            if host != act.host.rstrip("/").lower() or env.get("DATABRICKS_CONFIG_PROFILE"):
                raise Refused(f"the command's environment leads to {host or 'no host'}, but {act.host} was permitted")

    def check_http(self, method: str, path: str, permit: Permit | None = None, *, host: str = "") -> None:
        """Whether this request may go out; `permit` consumed. Raises Refused for one that changes something without."""
        method, plain = method.upper(), path.partition("?")[0]
        if method in ("GET", "HEAD") or _any_match(READING_HTTP, method, plain):
            return
        if permit is None or not _any_match(RULES[permit.act.kind].http, method, plain):
            raise Refused(f"{method} {plain} is not allowed here")
        if self.read_only:
            raise Refused("read-only", flag="start without --read-only")
        if host and host.rstrip("/").lower() != permit.act.host.rstrip("/").lower():
            raise Refused(f"the request goes to {host}, but {permit.act.host} was permitted")
        permit.pass_once()

    def check_write(self, path: Path, root: Path, permit: Permit | None = None) -> Path:
        """The real path of a file below `root` that may be written now; `permit` not consumed yet.

        Raises Refused outside of `root` (links followed), for what is no source, and without leave to edit.
        """
        kind = RULES[permit.act.kind].writes if permit is not None else ""
        if permit is None or not kind:
            raise Refused(f"{path.name} is not to be edited here")
        if self.read_only:
            raise Refused("read-only", flag="start without --read-only")
        permit.check()
        try:
            real = inside(path, root)
        except Outside as error:
            raise Refused(str(error)) from error
        parts = real.relative_to(root.resolve()).parts
        ours = parts[:2] == (".databricks", "bundle")
        if kind == "state" and not (ours and (not permit.act.target or parts[2:3] == (permit.act.target,))):
            raise Refused(f"{path.name} is no deployment state of {permit.act.target or 'this bundle'}")
        if kind == "source" and not {".databricks", ".git"}.isdisjoint(parts):
            raise Refused(f"{path.name} is not source")
        return real


def verb_of(words: Sequence[str]) -> str:
    """The verb of a CLI call: its first two words before any flag."""
    plain = []
    for word in words:
        if word.startswith("-") and word != "--version":
            break
        plain.append(word)
    return " ".join(plain[:2])


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """The flags of a CLI call with their values, where a value may be meant: `-t dev`, `--target=dev`, `-tdev`."""
    flags: dict[str, str] = {}
    before_dashes = list(words)[: list(words).index("--")] if "--" in words else list(words)
    for index, word in enumerate(before_dashes):
        if not word.startswith("-") or word == "-":
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            name, value = word[:2], word[2:].removeprefix("=")
        elif not equals and index + 1 < len(before_dashes):
            value = before_dashes[index + 1]
        # A flag given twice: the last one counts for the CLI; two that differ are never what was confirmed.
        flags[name] = value if flags.get(name, value) == value else f"{flags[name]} and {value}"
    return flags


def check_sql(statement: str, *, destructive: bool = False) -> None:
    """Raises Refused for a statement that is more than one that reads, unless a typed word stands behind it."""
    # A raw string could hide the end of itself from the pattern: it counts as something that is not known.
    plain = re.sub(r"\br(?=['\"])", " reflect( ", statement)
    bare = _SQL_QUIET.sub(lambda m: " " if m.group()[0] in "-/" else " x ", plain).strip().rstrip(";").strip()
    reads = re.match(r"(?:SELECT|WITH|SHOW|DESCRIBE|DESC|EXPLAIN|VALUES|TABLE|LIST)\b|\(", bare, re.IGNORECASE)
    changes = _CHANGING_SQL.search(bare)
    if not destructive and (not reads or changes or ";" in bare):
        found = changes.group() if changes else ";" if reads else " ".join(bare.split()[:2]) or "nothing"
        raise Refused(f"the statement does more than read: {found}")


def _where(identity: Identity) -> str:
    return f"{identity.user or 'nobody'} on {identity.host or 'no workspace'} ({identity.target or 'no target'})"


def _any_match(allowed: Sequence[tuple[str, str]], method: str, path: str) -> bool:
    return any(method == verb and re.fullmatch(pattern, path, re.ASCII) for verb, pattern in allowed)
