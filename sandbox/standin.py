"""A stand-in for the `databricks` CLI where none is installed: the bundle verbs, for the sandbox on this machine alone.
It imitates the output and exit codes of v1.13.0; it never speaks to a real workspace."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import standin_bundle, standin_deploy, standin_yaml
from .standin_bundle import Bundle
from .standin_client import Client, CliError
from .standin_run import LEGACY
from .standin_run import run as run_resource
from .standin_schema import json_schema
from .standin_state import VERSION, Deployment, State
from .standin_yaml import Stop

BOOL, TEXT, LIST = "bool", "text", "list"
GLOBAL = {
    "output": TEXT,
    "profile": TEXT,
    "target": TEXT,
    "debug": BOOL,
    "help": BOOL,
    "version": BOOL,
    "var": LIST,
    "log-level": TEXT,
    "log-file": TEXT,
    "log-format": TEXT,
    "quiet": BOOL,
}
SHORT = {"o": "output", "p": "profile", "t": "target", "h": "help", "v": "version", "q": "quiet", "c": "cluster-id"}
FLAGS: dict[str, dict[str, str]] = {
    "bundle validate": {"strict": BOOL, "include-locations": BOOL},
    "bundle plan": {"force": BOOL, "select": LIST, "cluster-id": TEXT},
    "bundle deploy": {
        "auto-approve": BOOL,
        "force-lock": BOOL,
        "force": BOOL,
        "fail-on-active-runs": BOOL,
        "select": LIST,
        "plan": TEXT,
        "verbose": BOOL,
        "cluster-id": TEXT,
    },
    "bundle run": {
        "no-wait": BOOL,
        "restart": BOOL,
        "only": LIST,
        "params": LIST,
        "refresh": LIST,
        "full-refresh": LIST,
        "refresh-all": BOOL,
        "full-refresh-all": BOOL,
        "validate-only": BOOL,
        **dict.fromkeys(LEGACY, LIST),
    },
    "bundle summary": {"force-pull": BOOL, "include-locations": BOOL},
    "bundle destroy": {"auto-approve": BOOL, "force-lock": BOOL},
    "bundle debug list-targets": {},
    "bundle schema": {},
    "auth describe": {"sensitive": BOOL, "host": TEXT},
    "auth profiles": {"skip-validate": BOOL},
    "version": {},
}
URLS = {
    "jobs": "jobs/{}",
    "pipelines": "pipelines/{}",
    "dashboards": "dashboardsv3/{}/published",
    "schemas": "explore/data/{}",
    "volumes": "explore/data/volumes/{}",
}
TITLES = {"jobs": "Jobs", "pipelines": "Pipelines", "dashboards": "Dashboards", "schemas": "Schemas"}
TITLES["volumes"] = "Volumes"
NAMES = ("name", "display_name")


@dataclass(slots=True)
class Arguments:
    """A command line taken apart."""

    verb: str
    flags: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def as_json(self) -> bool:
        return self.flags.get("output") == "json"


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns 0 or 1, as the real CLI does."""
    try:
        arguments = parse(list(argv))
        if arguments.flags.get("version") or arguments.verb == "version":
            return _version(arguments)
        return VERBS[arguments.verb](arguments)
    except Stop as problem:
        print(problem.diagnostic.render(), file=sys.stderr, end="")
        return 1
    except CliError as problem:
        print(_told(problem), file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _told(problem: CliError) -> str:
    return f"Error: {problem}\n" + (f"\n{problem.detail.rstrip()}\n" if problem.detail else "")


def parse(argv: list[str]) -> Arguments:
    """Verb, flags and words of a command line. CliError for what no verb takes."""
    plain = [word for word in _without_values(argv) if not word.startswith("-")]
    verb = next((" ".join(plain[:size]) for size in (3, 2, 1) if " ".join(plain[:size]) in FLAGS), " ".join(plain[:2]))
    if verb not in FLAGS and "--version" not in argv and "-v" not in argv:
        raise CliError(f'unknown command "{verb}" for "databricks" (this is the stand-in of the sandbox)')
    known = {**GLOBAL, **FLAGS.get(verb, {})}
    arguments = Arguments(verb)
    skip = len(verb.split())
    queue = list(argv)
    while queue:
        word = queue.pop(0)
        if word == "--":
            arguments.words += queue
            break
        if not word.startswith("-") or word == "-":
            if skip:
                skip -= 1
            else:
                arguments.words.append(word)
            continue
        name, sign, value = word.lstrip("-").partition("=")
        name = name if word.startswith("--") else SHORT.get(name, "q" if set(name) == {"q"} else name)
        name = {"q": "quiet", "compute-id": "cluster-id"}.get(name, name)
        if name not in known:
            raise CliError(f"unknown flag: {word.partition('=')[0]}")
        if known[name] == BOOL:
            arguments.flags[name] = value.lower() != "false" if sign else True
            continue
        if not sign:
            if not queue:
                raise CliError(f"flag needs an argument: {word}")
            value = queue.pop(0)
        if known[name] == LIST:
            arguments.flags.setdefault(name, []).extend(part for part in value.split(",") if part)
        else:
            arguments.flags[name] = value
    return arguments


def _without_values(argv: list[str]) -> list[str]:
    kinds = {name: kind for table in (GLOBAL, *FLAGS.values()) for name, kind in table.items()}
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
            continue
        kept.append(word)
        name = word.lstrip("-")
        if word.startswith("-") and "=" not in word:
            skip = kinds.get(SHORT.get(name, name)) in (TEXT, LIST)
    return kept


# --- verbs ----------------------------------------------------------------------------------------------------


def _version(arguments: Arguments) -> int:
    if arguments.as_json:
        print(json.dumps({"ProjectName": "cli", "Version": VERSION, "StandIn": "sandbox"}, indent=2))
    else:
        print(f"Databricks CLI v{VERSION} (stand-in of the dbops-tui sandbox)")
    return 0


def _variables(arguments: Arguments) -> dict[str, str]:
    found = {}
    for item in arguments.flags.get("var") or []:
        name, sign, value = item.partition("=")
        if not sign:
            raise CliError(f"unexpected flag value for variable assignment: {item}")
        found[name] = value
    return found


def _read(arguments: Arguments) -> tuple[Bundle, Client]:
    """The bundle and the client, which is made only once the target is known."""
    root = standin_bundle.find_root()
    made: list[Client] = []

    def client() -> Client:
        if arguments.flags.get("profile"):
            raise CliError(f"the stand-in of the sandbox knows no profiles, and so not {arguments.flags['profile']}")
        made.append(Client.from_env())
        made[0].check()
        return made[0]

    target = arguments.flags.get("target") or os.environ.get("DATABRICKS_BUNDLE_TARGET", "")
    bundle = standin_bundle.read(root, target, _variables(arguments), client)
    for warning in bundle.warnings:
        print(warning.render(), file=sys.stderr, end="")
    return bundle, made[0] if made else Client("http://127.0.0.1:9", "-")


def _loaded(arguments: Arguments) -> tuple[Bundle, Client]:
    bundle, client = _read(arguments)
    if bundle.errors:
        raise bundle.errors[0]
    return bundle, client


def _validate(arguments: Arguments) -> int:
    try:
        bundle, client = _read(arguments)
    except CliError as problem:
        print(_told(problem), file=sys.stderr)
        print("Found 1 error")
        return 1
    for error in bundle.errors:
        shown = error.diagnostic.render().rstrip("\n") + "\n" if isinstance(error, Stop) else _told(error)
        print(shown, file=sys.stderr)
    if not bundle.errors:
        client.call("POST", "/api/2.0/workspace/mkdirs", {"path": bundle.workspace["file_path"]})
    if arguments.as_json:
        print(json.dumps(_shown(bundle), indent=2, sort_keys=True))
    else:
        _print_head(bundle)
        counts = [(len(bundle.errors), "error"), (len(bundle.warnings), "warning")]
        found = " and ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
        print(f"\nFound {found}" if found else "\nValidation OK!")
    if arguments.flags.get("strict") and bundle.warnings and not bundle.errors:
        count = len(bundle.warnings)
        raise CliError(f"{count} warnings were found. Warnings are not allowed in strict mode")
    return 1 if bundle.errors else 0


def _shown(bundle: Bundle) -> dict[str, Any]:
    return {key: value for key, value in bundle.config.items() if value not in (None, {}, [])}


def _print_head(bundle: Bundle) -> None:
    print(f"Name: {bundle.name}")
    if bundle.target:
        print(f"Target: {bundle.target}")
    workspace = bundle.config.get("workspace") or {}
    user = (workspace.get("current_user") or {}).get("userName")
    if user:
        print("Workspace:")
        if workspace.get("host"):
            print(f"  Host: {workspace['host']}")
        print(f"  User: {user}\n  Path: {workspace['root_path']}")


def _plan(arguments: Arguments) -> int:
    bundle, client = _loaded(arguments)
    state = Deployment(bundle, client).current()
    steps = standin_deploy.planned(bundle, state, client, arguments.flags.get("select") or [])
    if arguments.as_json:
        plan = {
            step.path: {
                "action": step.action,
                **({"depends_on": [{"node": need} for need in step.needs]} if step.needs else {}),
                **({"new_state": {"value": step.settings}} if step.settings and step.action != "skip" else {}),
            }
            for step in sorted(steps, key=lambda item: item.path)
        }
        head = {"plan_version": 2, "cli_version": VERSION, "lineage": state.lineage, "serial": state.serial}
        print(json.dumps({**head, "plan": plan}, indent=2))
        return 0
    for step in sorted(steps, key=lambda item: item.path):
        if step.action != "skip":
            print(f"{step.action} {step.name}")
    actions = [step.action for step in steps]
    if any(action != "skip" for action in actions):
        print()
    adds = actions.count("create") + actions.count("recreate")
    text = f"{actions.count('update')} to change, {actions.count('delete') + actions.count('recreate')} to delete"
    print(f"Plan: {adds} to add, {text}, {actions.count('skip')} unchanged")
    return 0


def _deploy(arguments: Arguments) -> int:
    bundle, client = _loaded(arguments)
    flags = arguments.flags
    report = standin_deploy.deploy(
        bundle,
        client,
        force_lock=bool(flags.get("force-lock")),
        approved=bool(flags.get("auto-approve")),
        only=flags.get("select") or [],
        active=bool(flags.get("fail-on-active-runs")),
    )
    return 1 if report.errors else 0


def _run(arguments: Arguments) -> int:
    if not arguments.words:
        raise CliError("expected a KEY of the resource to run")
    bundle, client = _loaded(arguments)
    return run_resource(bundle, client, arguments.words[0], arguments.flags, as_json=arguments.as_json)


def _destroy(arguments: Arguments) -> int:
    bundle, client = _loaded(arguments)
    flags = arguments.flags
    standin_deploy.destroy(
        bundle, client, approved=bool(flags.get("auto-approve")), force_lock=bool(flags.get("force-lock"))
    )
    return 0


def _summary(arguments: Arguments) -> int:
    bundle, client = _loaded(arguments)
    deployment = Deployment(bundle, client)
    state = (None if arguments.flags.get("force-pull") else deployment.local()) or deployment.remote() or State()
    told = client.call("GET", "/.well-known/databricks-config")
    _mark(bundle, state, client.host, str(told.get("workspace_id") or ""))
    if arguments.as_json:
        print(json.dumps(_shown(bundle), indent=2, sort_keys=True))
        return 0
    _print_head(bundle)
    print("Resources:")
    for kind, records in sorted((bundle.config.get("resources") or {}).items()):
        print(f"  {TITLES.get(kind, kind)}:")
        for key, record in sorted(records.items()):
            name = next((record[field_name] for field_name in NAMES if record.get(field_name)), "")
            print(f"    {key}:\n      Name: {name}\n      URL:  {record.get('url') or '(not deployed)'}")
    return 0


def _mark(bundle: Bundle, state: State, host: str, workspace_id: str) -> None:
    """Adds id, url and modified_status to every resource, and those that are deployed but no longer declared."""
    resources = bundle.config.setdefault("resources", {})
    for path in state.resources:
        kind, key = path.split(".")[1:3]
        if key not in (resources.get(kind) or {}):
            resources.setdefault(kind, {})[key] = {"modified_status": "deleted"}
    for kind, records in resources.items():
        for key, record in (records or {}).items():
            found = state.id_of(f"resources.{kind}.{key}")
            if not found:
                record["modified_status"] = "created"
                continue
            record["id"] = found
            place = found.replace(".", "/") if kind in ("schemas", "volumes") else found
            record["url"] = f"{host}/{URLS.get(kind, '{}').format(place)}?w={workspace_id}"


def _list_targets(arguments: Arguments) -> int:
    tree = standin_yaml.load(standin_bundle.find_root(), "databricks.yml")
    targets = [
        {"name": name, **{key: value for key, value in (item or {}).items() if key in ("default", "mode")}}
        for name, item in (tree.value.get("targets") or {}).items()
    ]
    print(json.dumps({"targets": targets}, indent=2))
    return 0


def _schema(arguments: Arguments) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0


def _describe(arguments: Arguments) -> int:
    try:
        client = Client.from_env()
        user = str(client.call("GET", "/api/2.0/preview/scim/v2/Me").get("userName"))
    except CliError as problem:
        if arguments.as_json:
            print(json.dumps({"status": "error", "error": {}, "details": {"auth_type": ""}}, indent=2))
        else:
            print(f"Unable to authenticate: {problem}")
        return 0
    if not arguments.as_json:
        print(f"Host: {client.host}\nUser: {user}\nAuthenticated with: pat")
        return 0
    source = {"type": "environment variable", "name": "DATABRICKS_HOST"}
    configuration = {
        "host": {"value": client.host, "source": source, "auth_type_mismatch": False},
        "token": {
            "value": "********",
            "source": {**source, "name": "DATABRICKS_TOKEN"},
            "auth_type_mismatch": False,
        },
    }
    details = {"auth_type": "pat", "host": client.host, "configuration": configuration}
    print(json.dumps({"status": "success", "username": user, "details": details}, indent=2))
    return 0


def _profiles(arguments: Arguments) -> int:
    print(json.dumps({"profiles": None}, indent=2) if arguments.as_json else "Name  Host  Valid")
    return 0


VERBS: dict[str, Callable[[Arguments], int]] = {
    "bundle validate": _validate,
    "bundle plan": _plan,
    "bundle deploy": _deploy,
    "bundle run": _run,
    "bundle destroy": _destroy,
    "bundle summary": _summary,
    "bundle debug list-targets": _list_targets,
    "bundle schema": _schema,
    "auth describe": _describe,
    "auth profiles": _profiles,
}
