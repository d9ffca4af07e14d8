"""Who acts where is decided as the CLI decides it, said aloud, and never guessed; no secret goes astray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dbops_tui.core.bundle import Bundle, Target
from dbops_tui.core.identity import (
    auth_env,
    changed,
    client_options,
    fixer_env,
    flag,
    resolve,
    sign_in,
    suggest,
    with_user,
)
from dbops_tui.core.profiles import config_file, credentials, normal_host, read_profiles, same_host
from dbops_tui.core.state import Identity

DEV, STAGE, LIVE = "https://dev.example.com", "https://stage.example.com", "https://live.example.com"
TOKEN = "dapi0123456789abcdef0123456789abcdef"
CONFIG = f"""
[__settings__]
default_profile = dev

[DEFAULT]
host = https://legacy.example.com/?o=1
token = {TOKEN}

[dev]
host = {DEV}/
auth_type = databricks-cli

[stage-a]
host = {STAGE}
token = {TOKEN}1

[stage-b]
host = stage.example.com:443
client_id = me
client_secret = dose{TOKEN}

[account]
host = https://accounts.example.com
account_id = 1
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".databrickscfg").write_text(CONFIG, encoding="utf-8")
    return {"HOME": str(tmp_path), "PATH": "/bin"}


def bundle(*, host: str = "", profile: str = "", mode: str = "development", root: Path = Path("/nowhere")) -> Bundle:
    targets = (Target("dev", default=True, mode=mode, host=host, profile=profile), Target("live", mode="production"))
    return Bundle(root=root, name="retail", target="dev", targets=targets)


def place(identity: Identity) -> tuple[str, str]:
    return identity.host, identity.profile


# --- the config file ---


def test_profiles_are_read_without_their_secrets(env: dict[str, str]) -> None:
    profiles = read_profiles(env)
    assert [(p.name, p.host, p.auth) for p in profiles.items] == [
        ("DEFAULT", "https://legacy.example.com", "pat"),
        ("dev", DEV, "databricks-cli"),
        ("stage-a", STAGE, "pat"),
        ("stage-b", STAGE, "oauth-m2m"),
        ("account", "https://accounts.example.com", ""),
    ]
    assert profiles.default == "dev"
    assert profiles.names == ("DEFAULT", "dev", "stage-a", "stage-b")
    assert TOKEN not in repr(profiles)
    assert TOKEN in profiles.secrets


def test_the_section_default_does_not_seep_into_the_others(env: dict[str, str]) -> None:
    assert "token" not in credentials("dev", env)
    assert credentials("stage-a", env) == {"token": f"{TOKEN}1", "auth_type": "pat"}
    assert credentials("nobody", env) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"host = x\ntoken = {TOKEN}", ".databrickscfg:1: this is no profile file"),
        (f"[dev]\nhost = x\nno equals {TOKEN}\n", ".databrickscfg:3: this is no profile file"),
        ("[dev\n", ".databrickscfg:1: this is no profile file"),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_never_quoted(env: dict[str, str], content: str, problem: str) -> None:
    config_file(env).write_text(content, encoding="utf-8")
    profiles = read_profiles(env)
    assert profiles.problem == problem
    assert resolve(bundle(), "", env).problem == problem


def test_a_missing_or_an_unreadable_file_is_no_crash(tmp_path: Path) -> None:
    assert read_profiles({"HOME": str(tmp_path)}).items == ()
    (tmp_path / "folder").mkdir()
    assert "cannot be read" in read_profiles({"DATABRICKS_CONFIG_FILE": str(tmp_path / "folder")}).problem


def test_the_config_file_follows_the_environment() -> None:
    assert config_file({"HOME": "/h"}) == Path("/h/.databrickscfg")
    assert config_file({"HOME": "/h", "DATABRICKS_CONFIG_FILE": "~/x"}) == Path("/h/x")
    assert config_file({"HOME": "/h", "DATABRICKS_CONFIG_FILE": "/y"}) == Path("/y")


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("", ""),
        ("dev.example.com", DEV),
        ("HTTPS://Dev.Example.com/", DEV),
        ("https://dev.example.com:443/?o=12#x", DEV),
        ("https://you:secret@dev.example.com", DEV),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://[bad", ""),
        ("https://x:notaport", ""),
        ("https://", ""),
    ],
)
def test_hosts_are_compared_as_addresses(host: str, normal: str) -> None:
    assert normal_host(host) == normal
    assert same_host(host, DEV) is (normal == DEV)


# --- the decision ---


def test_the_flag_beats_the_environment_and_the_bundle(env: dict[str, str]) -> None:
    env |= {"DATABRICKS_CONFIG_PROFILE": "DEFAULT", "DATABRICKS_HOST": LIVE, "DATABRICKS_TOKEN": TOKEN}
    identity = resolve(bundle(profile="dev"), "stage-a", env)
    assert (place(identity), identity.source, identity.problem) == ((STAGE, "stage-a"), "--profile", "")


def test_the_named_profile_of_the_environment_beats_that_of_the_bundle(env: dict[str, str]) -> None:
    env["DATABRICKS_CONFIG_PROFILE"] = "stage-b"
    identity = resolve(bundle(profile="dev"), "", env)
    assert (place(identity), identity.source) == ((STAGE, "stage-b"), "DATABRICKS_CONFIG_PROFILE")


def test_the_profile_of_the_bundle_comes_next(env: dict[str, str]) -> None:
    identity = resolve(bundle(profile="stage-a"), "", env)
    assert (place(identity), identity.source) == ((STAGE, "stage-a"), "the bundle")


def test_the_only_profile_for_the_host_of_the_bundle_is_taken_and_said(env: dict[str, str]) -> None:
    identity = resolve(bundle(host=DEV), "", env)
    assert (place(identity), identity.source) == ((DEV, "dev"), "the only profile for this host")


def test_several_profiles_for_the_host_are_never_chosen_from(env: dict[str, str]) -> None:
    identity = resolve(bundle(host=STAGE), "", env)
    assert not identity.profile
    assert identity.problem == f"2 profiles are for {STAGE}: choose one"
    assert identity.candidates == ("stage-a", "stage-b")
    assert flag(identity) == "--profile stage-a (or stage-b)"


def test_without_any_host_the_default_profile_counts_but_never_the_section_default(env: dict[str, str]) -> None:
    assert place(resolve(bundle(), "", env)) == (DEV, "dev")
    config_file(env).write_text(CONFIG.replace("default_profile = dev", ""), encoding="utf-8")
    identity = resolve(bundle(), "", env)
    assert place(identity) == ("", "")
    assert "neither the bundle nor the environment" in identity.problem
    assert identity.candidates == ("DEFAULT", "dev", "stage-a", "stage-b")


def test_with_nothing_at_all_it_says_how_to_sign_in(tmp_path: Path) -> None:
    identity = resolve(bundle(), "", {"HOME": str(tmp_path)})
    assert "databricks auth login" in identity.problem
    assert flag(identity) == "--profile NAME"
    other = resolve(bundle(host=LIVE), "", {"HOME": str(tmp_path)})
    assert other.problem == f"no profile is for {LIVE}: sign in with `databricks auth login --host {LIVE}`"


def test_a_sign_in_that_is_not_taken_is_renewed_where_it_comes_from(env: dict[str, str], tmp_path: Path) -> None:
    held = resolve(bundle(), "stage-a", env)
    assert sign_in(held) == f"databricks auth login --host {STAGE} --profile stage-a"
    token = resolve(bundle(), "", env | {"DATABRICKS_HOST": LIVE, "DATABRICKS_TOKEN": TOKEN})
    assert sign_in(token) == "renew DATABRICKS_TOKEN of the environment, or unset it and pass --profile NAME"
    nobody = {"HOME": str(tmp_path / "nobody")}
    assert sign_in(resolve(bundle(), "", nobody)) == "--profile NAME"
    assert sign_in(resolve(bundle(host=LIVE), "", nobody)) == f"databricks auth login --host {LIVE}"


def test_the_first_profile_of_a_machine_is_made_by_signing_in(tmp_path: Path) -> None:
    nobody = resolve(bundle(host=LIVE), "my one", {"HOME": str(tmp_path)})
    assert f"`databricks auth login --host {LIVE} --profile 'my one'`" in nobody.problem


def test_host_and_token_of_the_environment_are_enough(env: dict[str, str]) -> None:
    env |= {"DATABRICKS_HOST": f"{LIVE}/", "DATABRICKS_TOKEN": TOKEN}
    identity = resolve(bundle(), "", env)
    assert (place(identity), identity.source) == ((LIVE, ""), "DATABRICKS_TOKEN of the environment")
    assert not identity.problem
    assert TOKEN not in repr(identity)


@pytest.mark.parametrize(
    "secret",
    [
        {"DATABRICKS_TOKEN": TOKEN},
        {"DATABRICKS_CLIENT_ID": "me", "DATABRICKS_CLIENT_SECRET": TOKEN},
        {"DATABRICKS_USERNAME": "me", "DATABRICKS_PASSWORD": TOKEN},
    ],
)
@pytest.mark.parametrize("meant", ["", LIVE])
def test_a_secret_is_not_sent_to_a_host_it_was_not_meant_for(
    env: dict[str, str], secret: dict[str, str], meant: str
) -> None:
    env |= {**secret, **({"DATABRICKS_HOST": meant} if meant else {})}
    identity = resolve(bundle(host=DEV), "", env)
    assert "is not sent to https://dev.example.com" in identity.problem
    assert (meant or "no named host") in identity.problem
    assert not replace(identity, user="you@example.com").resolved
    assert identity.candidates == ("dev",)
    assert not resolve(bundle(host=DEV), "dev", env).problem


def test_a_secret_without_any_host_goes_nowhere(env: dict[str, str]) -> None:
    identity = resolve(bundle(), "", {**env, "DATABRICKS_TOKEN": TOKEN})
    assert "DATABRICKS_TOKEN is set, but" in identity.problem


def test_half_a_sign_in_in_the_environment_counts_for_nothing(env: dict[str, str]) -> None:
    env |= {"DATABRICKS_CLIENT_ID": "me", "DATABRICKS_USERNAME": "you", "ARM_CLIENT_ID": "x", "ARM_CLIENT_SECRET": "y"}
    assert place(resolve(bundle(host=DEV), "", env)) == (DEV, "dev")


@pytest.mark.parametrize(
    "extra",
    [
        {"DATABRICKS_AUTH_TYPE": "github-oidc", "DATABRICKS_CLIENT_ID": "me"},
        {"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "b", "ARM_TENANT_ID": "c"},
    ],
)
def test_a_sign_in_of_the_ci_job_serves_a_host_without_a_profile(env: dict[str, str], extra: dict[str, str]) -> None:
    identity = resolve(bundle(host=LIVE), "", {**env, **extra})
    assert place(identity) == (LIVE, "")
    assert identity.source.endswith(" of the environment")
    assert place(resolve(bundle(host=DEV), "", {**env, **extra})) == (DEV, "dev")


def test_a_profile_of_another_host_than_the_bundle_is_refused(env: dict[str, str]) -> None:
    identity = resolve(bundle(host=STAGE), "dev", env)
    assert identity.problem == f"profile dev (--profile) is for {DEV}, but target dev deploys to {STAGE}"
    assert identity.candidates == ("stage-a", "stage-b")


def test_a_profile_that_is_not_there_or_leads_to_no_workspace_is_refused(env: dict[str, str]) -> None:
    missing = resolve(bundle(), "nobody", env)
    assert missing.problem == "there is no profile 'nobody' in the config file (--profile names it)"
    assert missing.candidates == ("DEFAULT", "dev", "stage-a", "stage-b")
    assert "account console" in resolve(bundle(), "account", env).problem


@pytest.mark.parametrize("host", ["${var.host}", "https://${var.name}.example.com"])
def test_a_host_that_is_a_reference_is_not_guessed(env: dict[str, str], host: str) -> None:
    assert "cannot be a reference" in resolve(bundle(host=host), "dev", env).problem


def test_the_mode_of_the_target_goes_along(env: dict[str, str]) -> None:
    live = replace(bundle(mode="development"), target="live")
    assert (resolve(live, "dev", env).target, resolve(live, "dev", env).mode) == ("live", "production")


# --- suggestions ---


def test_profiles_of_other_bundles_of_the_repository_come_first(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name, profile in (("a", "team"), ("b/deep", "'team'"), ("c", "other  # why"), ("mine", "mine")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "databricks.yml").write_text(f"workspace:\n  profile: {profile}\n", encoding="utf-8")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "databricks.yml").write_text("x:\n  profile: zzz\n" * 9, encoding="utf-8")
    mine = bundle(root=tmp_path / "mine")
    assert suggest(mine, ("mine", "other", "zzz", "team")) == ("team", "other", "mine", "zzz")
    assert suggest(bundle(root=tmp_path.parent), ("b", "a")) == ("b", "a")


# --- what children and clients get ---

LOADED = {
    "PATH": "/bin",
    "DATABRICKS_HOST": LIVE,
    "DATABRICKS_TOKEN": TOKEN,
    "DATABRICKS_CLIENT_SECRET": TOKEN,
    "DATABRICKS_AUTH_TYPE": "pat",
    "DATABRICKS_ACCOUNT_ID": "1",
    "DATABRICKS_CONFIG_PROFILE": "other",
    "DATABRICKS_AZURE_RESOURCE_ID": "/x",
    "DATABRICKS_BUNDLE_TARGET": "live",
    "DATABRICKS_BUNDLE_ROOT": "/elsewhere",
    "ARM_CLIENT_SECRET": TOKEN,
    "GOOGLE_CREDENTIALS": TOKEN,
    "DATABRICKS_CONFIG_FILE": "/c",
    "DATABRICKS_BUNDLE_ENGINE": "direct",
    "BUNDLE_VAR_catalog": "main",
}


def test_with_a_profile_nothing_of_the_environment_leads_anywhere_else() -> None:
    clean = auth_env(Identity(host=DEV, profile="dev"), LOADED)
    assert clean == {
        "PATH": "/bin",
        "DATABRICKS_CONFIG_FILE": "/c",
        "DATABRICKS_BUNDLE_ENGINE": "direct",
        "BUNDLE_VAR_catalog": "main",
    }


def test_without_a_profile_the_decided_host_stands_in_the_environment() -> None:
    clean = auth_env(Identity(host=LIVE), LOADED)
    assert (clean["DATABRICKS_HOST"], clean["DATABRICKS_TOKEN"]) == (LIVE, TOKEN)
    for name in ("DATABRICKS_CONFIG_PROFILE", "DATABRICKS_BUNDLE_TARGET", "DATABRICKS_BUNDLE_ROOT"):
        assert name not in clean


def test_a_fixer_gets_no_way_into_a_workspace() -> None:
    clean = fixer_env({**LOADED, "EDITOR": "vi", "FIXER_API_KEY": "its own"})
    assert TOKEN not in "".join(clean.values())
    assert LIVE not in clean.values()
    assert (clean["EDITOR"], clean["FIXER_API_KEY"]) == ("vi", "its own")


def test_a_client_is_told_everything_outright(env: dict[str, str]) -> None:
    assert client_options(Identity(host=STAGE, profile="stage-a"), {**env, **{"DATABRICKS_TOKEN": "other"}}) == {
        "host": STAGE,
        "profile": "stage-a",
        "token": f"{TOKEN}1",
        "auth_type": "pat",
    }
    assert client_options(Identity(host=DEV, profile="dev"), env)["auth_type"] == "databricks-cli"
    machine = client_options(Identity(host=STAGE, profile="stage-b"), env)
    assert (machine["client_id"], machine["auth_type"]) == ("me", "oauth-m2m")
    assert client_options(Identity(host=LIVE), {"DATABRICKS_TOKEN": TOKEN}) == {
        "host": LIVE,
        "token": TOKEN,
        "auth_type": "pat",
    }
    assert client_options(Identity(host=LIVE), {}) == {"host": LIVE}


def test_what_changed_is_said_in_one_sentence() -> None:
    before = Identity(host=DEV, target="dev", user="you@example.com")
    assert changed(before, before) == ""
    assert changed(before, with_user(before, "other@example.com")).startswith("the user changed from you@")
    assert changed(before, replace(before, host=LIVE)) == f"the workspace changed from {DEV} to {LIVE}"
    assert changed(before, replace(before, target="live")) == "the target changed from dev to live"
