"""Who acts where: the host, profile and user that a target really resolves to, decided aloud and never silently.

Never keeps a token in the state, never picks one of several profiles, and hands children a clean environment.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .bundle import Bundle
from .state import Identity

_AUTH_VARIABLES = (
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_ID",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_USERNAME",
    "DATABRICKS_PASSWORD",
    "DATABRICKS_AUTH_TYPE",
    "ARM_CLIENT_ID",
    "ARM_CLIENT_SECRET",
    "ARM_TENANT_ID",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A section of the config file, without its secrets. `auth` names the kind of sign-in."""

    name: str
    host: str
    auth: str = ""


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles of a config file; `default` is what `[__settings__]` names; `problem` says why it is unreadable."""

    items: tuple[Profile, ...] = ()
    default: str = ""
    problem: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)  # for the redactor only

    def get(self, name: str) -> Profile | None:
        return next((profile for profile in self.items if profile.name == name), None)

    def for_host(self, host: str) -> tuple[Profile, ...]:
        return tuple(profile for profile in self.items if profile.host and same_host(profile.host, host))


def read_profiles(env: Mapping[str, str]) -> Profiles:
    """The profiles of `DATABRICKS_CONFIG_FILE` or `~/.databrickscfg`; empty where there is no file."""
    path = Path(
        env.get("DATABRICKS_CONFIG_FILE") or Path(env.get("HOME") or Path.home()) / ".databrickscfg"
    ).expanduser()
    parser = configparser.ConfigParser(interpolation=None, default_section="__nothing__", strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return Profiles()
    except configparser.Error as error:
        return Profiles(problem=f"{path.name}: {str(error).splitlines()[0]}")
    items, secrets, default = [], [], ""
    for name in parser.sections():
        section = parser[name]
        if name == "__settings__":
            default = section.get("default_profile", "")
            continue
        secrets += [
            section[key] for key in ("token", "client_secret", "password", "azure_client_secret") if section.get(key)
        ]
        auth = section.get("auth_type") or (
            "pat" if section.get("token") else "oauth-m2m" if section.get("client_secret") else ""
        )
        items.append(Profile(name, normal_host(section.get("host", "")), auth))
    return Profiles(tuple(items), default, "", tuple(secrets))


def normal_host(host: str) -> str:
    """`host` with a scheme, without path, query and trailing slash; empty stays empty."""
    host = host.strip()
    if not host:
        return ""
    if "://" not in host:
        host = f"https://{host}"
    try:
        parts = urlsplit(host)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower().rstrip("/")


def same_host(one: str, other: str) -> bool:
    """Whether both name the same workspace address."""
    return bool(one and other) and normal_host(one) == normal_host(other)


def resolve(bundle: Bundle, profile: str, env: Mapping[str, str], *, profiles: Profiles | None = None) -> Identity:
    """Host and profile for the bundle's target, or the problem in one sentence. The user is asked later.

    Raises nothing. The order is that of the CLI (cmd/root/bundle.go): flag, DATABRICKS_CONFIG_PROFILE, the
    bundle's own, the default; a token in the environment counts only for the host it stands beside.
    """
    profiles = profiles if profiles is not None else read_profiles(env)
    target = bundle.target
    target_data = next((t for t in bundle.targets if t.name == target), None)
    mode = target_data.mode if target_data else ""
    pinned = normal_host(_plain((target_data.host if target_data else "") or bundle.workspace_host))
    wanted = profile or env.get("DATABRICKS_CONFIG_PROFILE", "")
    source = "--profile" if profile else "DATABRICKS_CONFIG_PROFILE" if wanted else ""
    if not wanted:
        wanted = _plain((target_data.profile if target_data else "") or bundle.workspace_profile)
        source = "the bundle" if wanted else ""

    def problem(text: str, host: str = "", candidates: tuple[str, ...] = ()) -> Identity:
        return Identity(host=host, profile=wanted, target=target, mode=mode, problem=text, candidates=candidates)

    if wanted:
        found = profiles.get(wanted)
        if found is None:
            return problem(f"there is no profile {wanted!r} in the config file", pinned, names(profiles))
        if pinned and found.host and not same_host(found.host, pinned):
            fitting = tuple(p.name for p in profiles.for_host(pinned))
            return problem(
                f"profile {wanted} is for {found.host}, but target {target} deploys to {pinned}", pinned, fitting
            )
        return Identity(host=found.host or pinned, profile=wanted, target=target, mode=mode, source=source)

    env_host, has_token = normal_host(env.get("DATABRICKS_HOST", "")), any(env.get(name) for name in _AUTH_VARIABLES)
    if has_token:
        if not env_host and not pinned:
            return problem(
                "a token is in the environment, but neither DATABRICKS_HOST nor the bundle names a workspace"
            )
        if pinned and not same_host(env_host, pinned):
            meant = env_host or "no host"
            return problem(f"the sign-in in the environment is meant for {meant}: it is not sent to {pinned}", pinned)
        return Identity(host=env_host, target=target, mode=mode, source="the environment")

    host = pinned or env_host
    if host:
        matching = profiles.for_host(host)
        if len(matching) == 1:
            return Identity(
                host=host, profile=matching[0].name, target=target, mode=mode, source="the only profile for it"
            )
        if matching:
            candidates = suggest(bundle, tuple(p.name for p in matching))
            return problem(f"{len(matching)} profiles are for {host}: choose one", host, candidates)
        return problem(f"no profile is for {host}: sign in with `databricks auth login --host {host}`", host)
    if profiles.default:
        found = profiles.get(profiles.default)
        if found is not None and found.host:
            return Identity(host=found.host, profile=found.name, target=target, mode=mode, source="the default profile")
    if profiles.problem:
        return problem(profiles.problem)
    return problem(
        "neither the bundle nor the environment names a workspace or a profile", "", suggest(bundle, names(profiles))
    )


def names(profiles: Profiles) -> tuple[str, ...]:
    return tuple(profile.name for profile in profiles.items if profile.host)


def suggest(bundle: Bundle, candidates: tuple[str, ...]) -> tuple[str, ...]:
    """The candidates, those that other bundles of the same repository name first."""
    used = _profiles_of_siblings(bundle.root)
    return tuple(sorted(candidates, key=lambda name: (name not in used, candidates.index(name))))


def _profiles_of_siblings(root: Path) -> frozenset[str]:
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if top is None:
        return frozenset()
    used = set()
    for depth in ("*", "*/*", "*/*/*"):
        for file in list(top.glob(f"{depth}/databricks.yml"))[:50]:
            try:
                text = file.read_text(encoding="utf-8", errors="replace")[:200_000]
            except OSError:
                continue
            if file.parent != root:
                used |= {
                    line.partition(":")[2].strip().strip("'\"")
                    for line in text.splitlines()
                    if line.strip().startswith("profile:")
                }
    return frozenset(used)


def auth_env(identity: Identity, env: Mapping[str, str]) -> dict[str, str]:
    """The environment for the CLI: with a profile, nothing in it can name another host or sign-in."""
    clean = dict(env)
    if identity.profile:
        for name in (*_AUTH_VARIABLES, "DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_ACCOUNT_ID"):
            clean.pop(name, None)
    elif identity.host:
        clean["DATABRICKS_HOST"] = identity.host
        clean.pop("DATABRICKS_CONFIG_PROFILE", None)
    return clean


def _plain(value: str) -> str:
    """A value of the YAML that holds no unresolved reference; empty else."""
    return "" if "${" in value else value
