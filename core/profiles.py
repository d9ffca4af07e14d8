"""The profiles of ~/.databrickscfg: names, hosts and kinds of sign-in.

Never keeps a secret where it could be shown: those are read again when a client is made, and named to the redactor.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# What in a section is nobody's business (databricks-sdk, config attributes marked sensitive).
SECRET_KEYS = ("token", "client_secret", "password", "azure_client_secret", "google_credentials")
_CREDENTIALS = (*SECRET_KEYS, "client_id", "username", "azure_client_id", "azure_tenant_id", "google_service_account")


@dataclass(frozen=True, slots=True)
class Profile:
    """A section of the config file, without its secrets. `auth` names the kind of sign-in, where it can be told."""

    name: str
    host: str
    auth: str = ""

    @property
    def workspace(self) -> bool:
        """Whether it leads to a workspace, and not to the account console."""
        return bool(self.host) and not urlsplit(self.host).netloc.startswith("accounts.")


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
        return tuple(profile for profile in self.items if same_host(profile.host, host))

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles that lead to a workspace, in the order of the file."""
        return tuple(profile.name for profile in self.items if profile.workspace)


def config_file(env: Mapping[str, str]) -> Path:
    """Where the profiles are: DATABRICKS_CONFIG_FILE, else ~/.databrickscfg."""
    named = env.get("DATABRICKS_CONFIG_FILE")
    home = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home())
    if named:
        return home / named[2:] if named.startswith("~/") else Path(named)
    return home / ".databrickscfg"


def read_profiles(env: Mapping[str, str]) -> Profiles:
    """The profiles of the config file; none where there is no file. Raises nothing: see `problem`."""
    path = config_file(env)
    try:
        parser = _parse(path)
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        return Profiles(problem=f"{path.name} cannot be read: {error.strerror or error}")
    except configparser.Error as error:
        # The message of a parse error quotes the line, and the line may be a token.
        line = getattr(error, "lineno", 0) or next((number for number, _ in getattr(error, "errors", [])), 0)
        return Profiles(problem=f"{path.name}:{line}: this is no profile file")
    items: list[Profile] = []
    secrets: list[str] = []
    default = ""
    for name in parser.sections():
        section = parser[name]
        if name == "__settings__":
            default = section.get("default_profile", "").strip()
            continue
        secrets += [section[key] for key in SECRET_KEYS if section.get(key)]
        items.append(Profile(name, normal_host(section.get("host", "")), _auth(section)))
    return Profiles(tuple(items), default, "", tuple(secrets))


def credentials(profile: str, env: Mapping[str, str]) -> dict[str, str]:
    """What a client needs to sign in as this profile, secrets included: for its constructor and nothing else.

    Keys as in the config file (token, client_id, ...) and `auth_type` where the file names one.
    """
    try:
        parser = _parse(config_file(env))
    except (OSError, configparser.Error):
        return {}
    if profile not in parser:
        return {}
    section = parser[profile]
    found = {key: section[key] for key in (*_CREDENTIALS, "auth_type") if section.get(key)}
    auth = found.get("auth_type") or _auth(section)
    return {**found, "auth_type": auth} if auth else found


def normal_host(host: str) -> str:
    """`host` with a scheme, in small letters, without user, path, query and trailing slash; empty stays empty."""
    host = host.strip()
    if not host:
        return ""
    if "://" not in host:
        host = f"https://{host}"
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError:
        return ""
    name = parts.netloc.rpartition("@")[2].lower()
    if port == {"https": 443, "http": 80}.get(parts.scheme):
        name = name.rpartition(":")[0]
    return f"{parts.scheme}://{name}" if name else ""


def same_host(one: str, other: str) -> bool:
    """Whether both name the same workspace address."""
    return bool(normal_host(one)) and normal_host(one) == normal_host(other)


def _parse(path: Path) -> configparser.ConfigParser:
    # DEFAULT is a profile like any other here: configparser would mix its values into all of them.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0none", strict=False)
    parser.read_string(path.read_text(encoding="utf-8-sig", errors="replace"))
    return parser


def _auth(section: Mapping[str, str]) -> str:
    if section.get("auth_type"):
        return section["auth_type"]
    for key, kind in (
        ("token", "pat"),
        ("client_secret", "oauth-m2m"),
        ("azure_client_secret", "azure-client-secret"),
        ("password", "basic"),
    ):
        if section.get(key):
            return kind
    return ""
