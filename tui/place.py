"""Where a command acts: the bundle, settings, identity and journal it finds, and what it says where it cannot.

Never asks a question and never changes anything; every trouble becomes one sentence, a hint and an exit status.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.bundle import Bundle
from ..core.bundle_load import BundleNotFound, find_bundle_root, load_bundle
from ..core.cli_words import CliProblem
from ..core.config import Config, ConfigError, load_config
from ..core.guard import Guard, NoJournal, Policy, Refused
from ..core.identity import auth_env, client_options, flag, resolve
from ..core.journal import JournalUnavailable, journal_path
from ..core.lock import Held
from ..core.paths import state_dir
from ..core.profiles import Profiles, read_profiles
from ..core.redaction import Redactor
from ..core.state import Identity
from ..core.text import clean
from .exits import EXIT_BLOCKED, EXIT_FAILED, EXIT_IDENTITY, EXIT_USAGE
from .flags import settings_of

if TYPE_CHECKING:
    from ..core.databricks_cli import DatabricksCli
    from ..core.workspace import Workspace

_SECRETS = (
    *("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET", "DATABRICKS_PASSWORD", "ARM_CLIENT_SECRET"),
    *("DATABRICKS_AZURE_CLIENT_SECRET", "GOOGLE_CREDENTIALS", "DATABRICKS_GOOGLE_CREDENTIALS"),
)


class Stop(Exception):
    """A command cannot go on: `message` is one sentence, `fix` what to pass or type, `code` a word for scripts."""

    def __init__(
        self, message: str, fix: str = "", *, code: str, exit_code: int = EXIT_USAGE, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code
        self.exit_code = exit_code
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Place:
    """What a command works with. `config` has the flags in it already; `identity.problem` says who is not known.

    `journal_file` is None where the state folder cannot be used, and `journal_problem` says why. `bundle_problem`
    says why there is no bundle, for commands that go on without: then `bundle` is an empty one; `config_problem` why
    the settings are the defaults.
    """

    root: Path
    bundle: Bundle
    config: Config
    identity: Identity
    env: Mapping[str, str]
    redactor: Redactor
    journal_file: Path | None
    profiles: Profiles
    journal_problem: str = ""
    bundle_problem: str = ""
    config_problem: str = ""

    def signed_in(self) -> Identity:
        """The identity, with a host. Raises Stop with what to pass where it is not resolved."""
        if self.identity.problem:
            hint = flag(self.identity)
            raise Stop(self.identity.problem, hint, code="identity", exit_code=EXIT_IDENTITY)
        return self.identity

    def reading_guard(self) -> Guard:
        """A guard that lets nothing through but what only reads."""
        return Guard(lambda: self.identity, Policy(read_only=True), NoJournal("this command only reads"))

    def reading_cli(self) -> DatabricksCli:
        """The CLI for this bundle, target and profile, for calls that only read."""
        from ..core.databricks_cli import DatabricksCli

        return DatabricksCli(
            self.root,
            env=auth_env(self.identity, self.env),
            guard=self.reading_guard(),
            target=self.bundle.target,
            profile=self.identity.profile,
            host=self.identity.host,
            redactor=self.redactor,
        )

    def reading_workspace(self) -> Workspace:
        """The workspace, for calls that only read. Raises Stop where it is not known who acts where."""
        from ..core.budget import Budget
        from ..core.clock import SystemClock
        from ..core.workspace import Workspace

        identity = self.signed_in()
        options = client_options(identity, self.env)
        budget = Budget(self.config.request_budget_per_minute, SystemClock())
        return Workspace(identity.host, options, guard=self.reading_guard(), redactor=self.redactor, budget=budget)


def open_place(
    arguments: argparse.Namespace,
    *,
    redactor: Redactor | None = None,
    env: Mapping[str, str] | None = None,
    bundle_needed: bool = True,
    tolerant: bool = False,
) -> Place:
    """The place that `arguments` (path, target, profile and the flags of settings) mean.

    Raises Stop for no bundle (where it is needed), an unknown target, settings that cannot be read. Bundle problems
    and an identity that is not resolved are left for the command to judge; a `tolerant` one judges everything itself.
    """
    env = dict(os.environ) if env is None else env
    redactor = secrets_of(env, redactor)
    path, bundle_problem, config_problem = getattr(arguments, "path", "."), "", ""
    try:
        root = find_bundle_root(Path(path))
    except (BundleNotFound, OSError) as error:
        stop = _no_bundle(error, path)
        if not tolerant and (bundle_needed or path != "." or stop.code == "two_bundles"):
            raise stop from error
        root, bundle_problem = Path.cwd(), stop.message
    try:
        config = open_config(None if bundle_problem else root, env, arguments)
    except Stop as stop:
        if not tolerant:
            raise
        config, config_problem = Config(), stop.message
    target = getattr(arguments, "target", None) or ""
    if bundle_problem:
        bundle = Bundle(root=root, name="", target=target)
    else:
        bundle = load_bundle(root, target, env)
        if not tolerant:
            _check_target(bundle, needed=bundle_needed)
    profiles = read_profiles(env)
    for secret in profiles.secrets:
        redactor.add(secret)
    identity = resolve(bundle, getattr(arguments, "profile", None) or "", env, profiles=profiles)
    journal_file, journal_problem = _journal_file(env, root, bundle.target)
    return Place(
        *(root, bundle, config, identity, env, redactor, journal_file, profiles),
        journal_problem=journal_problem,
        bundle_problem=bundle_problem,
        config_problem=config_problem,
    )


def open_config(root: Path | None, env: Mapping[str, str], arguments: argparse.Namespace) -> Config:
    """The settings with the flags among `arguments` in them. Raises Stop."""
    try:
        return load_config(root, env, settings_of(arguments))
    except ConfigError as error:
        raise Stop(str(error), "mend the settings, or unset the variable", code="settings") from error


def secrets_of(env: Mapping[str, str], redactor: Redactor | None = None) -> Redactor:
    """A redactor that knows the secrets of the environment."""
    redactor = redactor or Redactor()
    for name in _SECRETS:
        if env.get(name):
            redactor.add(env[name])
    return redactor


def stop_of(error: BaseException) -> Stop | None:
    """What an error of the engine's parts means for a command; None for one that nobody expects."""
    if isinstance(error, Stop):
        return error
    if isinstance(error, BundleNotFound):
        return _no_bundle(error, "")
    if isinstance(error, ConfigError):
        return Stop(str(error), code="settings")
    if isinstance(error, Refused):
        return Stop(error.reason, error.flag, code="refused", exit_code=error.exit_code)
    if isinstance(error, CliProblem):
        return Stop(error.summary, error.install, code="cli", exit_code=EXIT_BLOCKED)
    if isinstance(error, Held):
        return Stop(
            f"the journal is {error}", error.advice, code="journal_held", exit_code=EXIT_BLOCKED, retryable=True
        )
    if isinstance(error, JournalUnavailable):
        return Stop(str(error), "DBOPS_STATE_DIR=/a/local/folder", code="journal", exit_code=EXIT_FAILED)
    return _of_workspace(error)


def _of_workspace(error: BaseException) -> Stop | None:
    # Not imported for it: who has not spoken to a workspace has no error of one.
    if type(error).__name__ != "WorkspaceError":
        return None
    kind = str(getattr(error, "kind", ""))
    hints = {
        "signed_out": "databricks auth login, or --profile NAME",
        "forbidden": "--profile NAME of who may",
        "not_found": "is it another workspace? -t TARGET or --profile NAME says which one is asked",
    }
    return Stop(
        str(getattr(error, "message", error)),
        hints.get(kind, ""),
        code=f"workspace.{kind}",
        exit_code=EXIT_IDENTITY if kind in ("signed_out", "forbidden") else EXIT_FAILED,
        retryable=bool(getattr(error, "unmeasured", False)) and kind != "signed_out",
    )


def said(stop: Stop, redactor: Redactor | None = None) -> str:
    """What a person reads on stderr: the sentence, and below it what to do."""
    text = f"dbops-tui: {stop.message}" + (f"\n  {stop.fix}" if stop.fix else "")
    return (redactor or Redactor()).redact(clean(text))


def _no_bundle(error: BaseException, path: str) -> Stop:
    if isinstance(error, OSError):
        message = f"{path} cannot be read: {error.strerror or error}"
        return Stop(message, code="no_bundle")
    message = str(error)
    if "rename or remove" in message:
        return Stop(message, code="two_bundles")
    return Stop(message, "name a folder of the bundle: PATH, or --path FOLDER", code="no_bundle")


def _check_target(bundle: Bundle, *, needed: bool) -> None:
    """Raises Stop for a target that is not there, or (where one is `needed`) cannot be told from the bundle's files."""
    unsure = ("please specify target", "multiple targets are marked as default") if needed else ()
    for problem in bundle.errors:
        unknown = problem.summary.endswith(": no such target")
        if (unknown or problem.summary.startswith(unsure)) and not bundle.broken:
            names = ", ".join(target.name for target in bundle.targets)
            raise Stop(problem.summary, f"-t with one of: {names}" if names else problem.detail, code="target")


def _journal_file(env: Mapping[str, str], root: Path, target: str) -> tuple[Path | None, str]:
    try:
        return journal_path(state_dir(env), root, target), ""
    except OSError as error:
        return None, f"the state folder cannot be used: {error.strerror or error}"
