"""Who acts where: the host, profile and user that a target really resolves to, decided aloud and never silently.

Never keeps a token in the state, never picks one of several profiles, and hands children a clean environment.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from .bundle import Bundle
from .guard import LOGIN, PROFILE
from .profiles import Profiles, credentials, normal_host, read_profiles, same_host
from .state import Identity

__all__ = [
    *("Profile", "Profiles", "answer", "auth_env", "changed", "client_options", "fixer_env", "flag", "normal_host"),
    *("read_profiles", "resolve", "same_host", "sign_in", "suggest", "with_user"),
]

# Sign-ins that are good for one workspace: sent to another, they are given away.
_BOUND = (
    ("DATABRICKS_TOKEN", ("DATABRICKS_TOKEN",)),
    ("DATABRICKS_CLIENT_SECRET", ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET")),
    ("DATABRICKS_PASSWORD", ("DATABRICKS_USERNAME", "DATABRICKS_PASSWORD")),
)
# Sign-ins of the surroundings (a CI job, a cloud): exchanged for a token of the workspace that is asked.
_AMBIENT_TYPES = frozenset(
    {
        *("github-oidc", "env-oidc", "file-oidc", "github-oidc-azure", "azure-devops-oidc", "metadata-service"),
        *("azure-cli", "azure-msi", "azure-client-secret", "google-credentials", "google-id", "runtime"),
    }
)
# What can lead a client to another host, sign-in, target or bundle than the one that was decided on.
_LEADING = re.compile(
    r"DATABRICKS_(?:HOST|TOKEN|CLIENT_ID|CLIENT_SECRET|USERNAME|PASSWORD|AUTH_TYPE|ACCOUNT_ID|WORKSPACE_ID|CONFIG_PROFILE"
    r"|AZURE_\w+|GOOGLE_\w+|METADATA_SERVICE_URL|OIDC_\w+|TOKEN_AUDIENCE|DISCOVERY_URL|SERVERLESS_COMPUTE_ID)"
    r"|ARM_\w+|GOOGLE_CREDENTIALS"
)
_ELSEWHERE = (
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_BUNDLE_TARGET",
    "DATABRICKS_BUNDLE_ENV",
    "DATABRICKS_BUNDLE_ROOT",
)
_SIBLING_FOLDERS = 3_000
_SKIPPED = frozenset({"node_modules", "venv", "site-packages", "__pycache__", "dist", "build", "target"})


def resolve(bundle: Bundle, profile: str, env: Mapping[str, str], *, profiles: Profiles | None = None) -> Identity:
    """Host and profile for the bundle's target, or the problem in one sentence; the user is asked of the workspace.

    Raises nothing. The order is that of the CLI: flag, DATABRICKS_CONFIG_PROFILE, the
    bundle's own profile or host, the default profile. A secret in the environment counts only for the host beside it.
    """
    profiles = profiles if profiles is not None else read_profiles(env)
    target = next((entry for entry in bundle.targets if entry.name == bundle.target), None)
    written = (target.host if target else "") or bundle.workspace_host
    blank = Identity(target=bundle.target, mode=target.mode if target else "")
    if "${" in written and not bundle.resolved:
        return replace(blank, problem=f"workspace.host is {written}: a host cannot be a reference, write it out")
    pinned = normal_host(written)
    if written and not pinned:
        return replace(blank, problem=f"workspace.host {written!r} is no address")
    here = replace(blank, host=pinned)

    own = (target.profile if target else "") or bundle.workspace_profile
    for name, source in (
        (profile, "--profile"),
        (env.get("DATABRICKS_CONFIG_PROFILE", ""), "DATABRICKS_CONFIG_PROFILE"),
        ("" if "${" in own else own, "the bundle"),
    ):
        if name:
            return _by_profile(here, name, source, profiles, bundle)
    by_environment = _by_environment(here, env, profiles)
    if by_environment is not None:
        return by_environment
    return _by_host(replace(here, host=pinned or normal_host(env.get("DATABRICKS_HOST", ""))), env, profiles, bundle)


def _by_profile(here: Identity, name: str, source: str, profiles: Profiles, bundle: Bundle) -> Identity:
    here = replace(here, profile=name)
    found = profiles.get(name)
    if found is None:
        why = profiles.problem or f"there is no profile {name!r} in the config file ({source} names it)"
        if not profiles.names and not profiles.problem:
            why += f": sign in with `databricks auth login --host {here.host or 'URL'} --profile {shlex.quote(name)}`"
        return replace(here, problem=why, candidates=suggest(bundle, profiles.names))
    if here.host and found.host and not same_host(found.host, here.host):
        fitting = tuple(profile.name for profile in profiles.for_host(here.host))
        return replace(
            here,
            problem=f"profile {name} ({source}) is for {found.host}, but target {here.target} deploys to {here.host}",
            candidates=suggest(bundle, fitting),
        )
    if not here.host and not found.host:
        return replace(here, problem=f"profile {name} has no host")
    if not here.host and not found.workspace:
        return replace(here, problem=f"profile {name} is for the account console {found.host}, not for a workspace")
    return replace(here, host=here.host or found.host, source=source)


def _by_environment(here: Identity, env: Mapping[str, str], profiles: Profiles) -> Identity | None:
    """Where the environment holds a sign-in that is good for one host; None where it holds none."""
    secret = next((name for name, needed in _BOUND if all(env.get(each) for each in needed)), "")
    if not secret:
        return None
    meant = normal_host(env.get("DATABRICKS_HOST", ""))
    if not meant and not here.host:
        return replace(
            here,
            problem=f"{secret} is set, but neither DATABRICKS_HOST nor the bundle names a workspace",
            candidates=profiles.names,
        )
    if here.host and not same_host(meant, here.host):
        # The CLI would send it: the bundle's host beats DATABRICKS_HOST, and the token of the environment stays.
        return replace(
            here,
            problem=f"{secret} is meant for {meant or 'no named host'} and is not sent to {here.host}",
            candidates=tuple(profile.name for profile in profiles.for_host(here.host)),
        )
    return replace(here, host=meant, source=f"{secret} of the environment")


def _by_host(here: Identity, env: Mapping[str, str], profiles: Profiles, bundle: Bundle) -> Identity:
    if here.host:
        matching = tuple(profile.name for profile in profiles.for_host(here.host))
        if len(matching) == 1:
            return replace(here, profile=matching[0], source="the only profile for this host")
        if matching:
            return replace(
                here,
                problem=f"{len(matching)} profiles are for {here.host}: choose one",
                candidates=suggest(bundle, matching),
            )
        ambient = _ambient(env)
        if ambient:
            return replace(here, source=f"{ambient} of the environment")
        why = (
            profiles.problem
            or f"no profile is for {here.host}: sign in with `databricks auth login --host {here.host}`"
        )
        return replace(here, problem=why)
    if profiles.default:
        # As the CLI does for bundles: only what [__settings__] names, never the section [DEFAULT] by itself.
        return _by_profile(here, profiles.default, "the default profile", profiles, bundle)
    candidates = suggest(bundle, profiles.names)
    why = profiles.problem or "neither the bundle nor the environment names a workspace or a profile"
    if not candidates and not profiles.problem:
        why += ": sign in with `databricks auth login --host URL`"
    return replace(here, problem=why, candidates=candidates)


def _ambient(env: Mapping[str, str]) -> str:
    kind = env.get("DATABRICKS_AUTH_TYPE", "")
    if kind in _AMBIENT_TYPES:
        return kind
    if all(env.get(name) for name in ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID")):
        return "azure-client-secret"
    return ""


def with_user(identity: Identity, user: str) -> Identity:
    """The identity once the workspace has said who we are."""
    return replace(identity, user=user)


def flag(identity: Identity) -> str:
    """What answers the identity's problem where nobody can be asked; empty where there is none."""
    if not identity.problem:
        return ""
    if identity.candidates:
        return f"--profile {identity.candidates[0]}" + (
            f" (or {', '.join(identity.candidates[1:])})" if len(identity.candidates) > 1 else ""
        )
    return "--profile NAME"


def sign_in(identity: Identity) -> str:
    """What to do where the workspace does not take the sign-in: a command, or what of the environment is to be mended.

    Signing in again by the CLI would not help where a secret of the environment is what counts.
    """
    if not identity.host:
        return "--profile NAME"
    if not identity.profile and identity.source.endswith(" of the environment"):
        return f"renew {identity.source}, or unset it and pass --profile NAME"
    name = f" --profile {shlex.quote(identity.profile)}" if identity.profile else ""
    return f"databricks auth login --host {identity.host}{name}"


def answer(bare: str, identity: Identity, *, signed_out: bool) -> str:
    """The whole words for PROFILE and LOGIN, by who acts where; any other answer is whole already."""
    if bare not in (PROFILE, LOGIN):
        return bare
    if identity.problem:
        return flag(identity)
    return sign_in(identity) if signed_out or bare == LOGIN else "--profile NAME of who may"


def changed(before: Identity, after: Identity) -> str:
    """What of who-acts-where differs, in one sentence; empty where nothing does. An unknown user differs from none."""
    for word, then, now in (
        ("workspace", before.host, after.host),
        ("user", before.user, after.user),
        ("target", before.target, after.target),
    ):
        if then and now and then != now:
            return f"the {word} changed from {then} to {now}"
    return ""


def suggest(bundle: Bundle, candidates: tuple[str, ...]) -> tuple[str, ...]:
    """The candidates, those that other bundles of the same repository name most often first."""
    if len(candidates) < 2:
        return candidates
    used = Counter(_profiles_of_siblings(bundle.root))
    return tuple(sorted(candidates, key=lambda name: (-used[name], candidates.index(name))))


def _profiles_of_siblings(root: Path) -> Iterator[str]:
    root = root.resolve()
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if top is None:
        return
    for number, (folder, below, files) in enumerate(os.walk(top)):
        if number > _SIBLING_FOLDERS:
            return
        deep = len(Path(folder).relative_to(top).parts) >= 4
        below[:] = [] if deep else sorted(name for name in below if not name.startswith(".") and name not in _SKIPPED)
        for name in ("databricks.yml", "databricks.yaml"):
            if name in files and Path(folder) != root:
                yield from _profiles_in(Path(folder) / name)


def _profiles_in(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(200_000)
    except OSError:
        return
    for match in re.finditer(r"^\s+profile:[ \t]*['\"]?([^\s'\"#]+)", text, re.MULTILINE):
        yield match.group(1)


def auth_env(identity: Identity, env: Mapping[str, str]) -> dict[str, str]:
    """The environment for the CLI: nothing in it can name another host, sign-in, target or bundle.

    With a profile (also passed as `-p`) no sign-in of the environment is left; without, the host is the decided one.
    """
    clean = {name: value for name, value in env.items() if name not in _ELSEWHERE}
    if identity.profile:
        return {name: value for name, value in clean.items() if not _LEADING.fullmatch(name)}
    if identity.host:
        clean["DATABRICKS_HOST"] = identity.host
    return clean


def fixer_env(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program of somebody else: it mends files, and needs no way into a workspace."""
    return {name: value for name, value in env.items() if not _LEADING.fullmatch(name)}


def client_options(identity: Identity, env: Mapping[str, str]) -> dict[str, str]:
    """Keyword arguments for the SDK's Config that leave nothing to the environment; secrets included, never kept.

    Everything is said outright, because in the SDK the environment beats the profile (databricks-sdk 0.156, measured).
    """
    options = {"host": identity.host}
    if identity.profile:
        options |= {"profile": identity.profile, **credentials(identity.profile, env)}
        options.setdefault("auth_type", "databricks-cli")
        if env.get("DATABRICKS_CONFIG_FILE"):
            options["config_file"] = env["DATABRICKS_CONFIG_FILE"]
        return options
    for (secret, needed), kind in zip(_BOUND, ("pat", "oauth-m2m", "basic"), strict=True):
        if all(env.get(each) for each in needed):
            values = {name.removeprefix("DATABRICKS_").lower(): env[name] for name in (*needed, secret)}
            return {**options, **values, "auth_type": kind}
    ambient = _ambient(env)
    return {**options, "auth_type": ambient} if ambient else options
