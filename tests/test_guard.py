"""Nothing is changed where it may not be: read-only, another place, no word, no journal, no second time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from dbops_tui.core.guard import (
    READING_CLI,
    RULES,
    Act,
    ActKind,
    Arming,
    Guard,
    NoJournal,
    Policy,
    Refused,
    check_sql,
)
from dbops_tui.core.journal import Journal
from dbops_tui.core.state import Identity

HERE = Identity(host="https://dev.example.com", profile="dev", user="you@example.com", target="dev", mode="development")
PROD = replace(HERE, target="live", mode="production", host="https://live.example.com")
KINDS: tuple[ActKind, ...] = get_args(ActKind)
SQL = {"statement": "SELECT 1"}


class Place:
    """Who acts where, as the engine would know it: it can change under an act."""

    def __init__(self, identity: Identity = HERE) -> None:
        self.identity = identity

    def __call__(self) -> Identity:
        return self.identity


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "journal.sqlite3")
    yield opened
    await opened.close()


def act_of(guard: Guard, kind: ActKind, **more: Any) -> Act:
    return guard.act(kind, "nightly", **{"data": SQL, **more})


async def allowed(guard: Guard, act: Act, **more: Any) -> bool:
    try:
        await guard.permit(act, confirmed=guard.confirm_word(act), **more)
    except Refused:
        return False
    return True


def test_every_kind_of_act_has_its_rule() -> None:
    assert set(RULES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_act_is_permitted_where_nothing_speaks_against_it(kind: ActKind, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    assert await allowed(guard, act_of(guard, kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_read_only_refuses_every_act_and_writes_no_intent(kind: ActKind, journal: Journal) -> None:
    guard = Guard(Place(), Policy(read_only=True), journal)
    for automatic in (False, True):
        act = act_of(guard, kind)
        with pytest.raises(Refused, match="read-only") as caught:
            await guard.permit(act, confirmed=guard.confirm_word(act), automatic=automatic)
        assert caught.value.exit_code == 3
        assert caught.value.flag
        assert guard.refusal(act, automatic=automatic)
    assert await journal.open_operations() == ()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_permit_of_before_is_worth_nothing_once_it_is_read_only(
    kind: ActKind, journal: Journal, tmp_path: Path
) -> None:
    arming = Arming(60, lambda: now[0])
    now = [0.0]
    guard = Guard(Place(), Policy(), journal, armed=arming)
    assert not await allowed(guard, act_of(guard, kind))
    arming.arm()
    act = act_of(guard, kind)
    early, late = [await guard.permit(act, confirmed=guard.confirm_word(act)) for _ in range(2)]
    early.consume()
    now[0] = 60.5
    with pytest.raises(Refused, match="read-only"):
        late.consume()
    for verb in RULES[kind].cli:
        with pytest.raises(Refused, match="read-only"):
            guard.check_cli([*verb.split(), "-t", "dev", "-p", "dev"], early)
    for method, path in concrete(kind):
        with pytest.raises(Refused, match="read-only"):
            guard.check_http(method, path, early)
    if RULES[kind].writes:
        with pytest.raises(Refused, match="read-only"):
            guard.check_write(tmp_path / "a.py", tmp_path, late)


def test_arming_counts_down_and_can_be_ended() -> None:
    now = [100.0]
    arming = Arming(300, lambda: now[0])
    assert (arming(), arming.left()) == (False, 0)
    arming.arm()
    now[0] += 299
    assert (arming(), arming.left()) == (True, 1)
    arming.arm()
    now[0] += 299
    assert arming()
    arming.disarm()
    assert not arming()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if RULES[kind].needs_intent])
async def test_without_a_journal_nothing_is_done_and_why_is_said(kind: ActKind, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), NoJournal("held by process 7", exit_code=4))
    act = act_of(guard, kind)
    with pytest.raises(Refused, match="held by process 7") as caught:
        await guard.permit(act, confirmed=guard.confirm_word(act))
    assert caught.value.exit_code == 4
    assert not await allowed(Guard(Place(), Policy()), act)
    guard.log = journal
    assert await allowed(guard, act)


async def test_without_an_intent_row_nothing_is_done(journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    await journal.close()
    with pytest.raises(Refused, match="journal") as caught:
        await guard.permit(guard.act("deploy", "bundle"))
    assert caught.value.exit_code == 1


async def test_the_intent_is_written_before_leave_is_given_and_the_result_after(
    journal: Journal, tmp_path: Path
) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("repair", "jobs.nightly", token="t1", data={"run_id": "7"}))
    reader = await Journal.open(tmp_path / "journal.sqlite3", read_only=True)
    (row,) = await reader.open_operations()
    assert (row.op_id, row.kind, row.key, row.token, row.intent) == (
        permit.op_id,
        "repair",
        "jobs.nightly",
        "t1",
        {"run_id": "7"},
    )
    await permit.ended("done", repair_id="9")
    assert await reader.open_operations() == ()
    await reader.close()


# --- where -----------------------------------------------------------------------------------------------------------

REMOTE = [kind for kind in KINDS if RULES[kind].needs_identity]


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize(
    "identity",
    [Identity(), replace(HERE, user=""), replace(HERE, host=""), replace(HERE, problem="2 profiles fit: choose one")],
)
async def test_nothing_is_done_before_it_is_known_who_acts_where(
    kind: ActKind, identity: Identity, journal: Journal
) -> None:
    guard = Guard(Place(identity), Policy(), journal)
    act = replace(act_of(guard, kind), host=HERE.host)
    with pytest.raises(Refused) as caught:
        await guard.permit(act, confirmed=guard.confirm_word(act))
    assert caught.value.exit_code == 3
    assert await journal.open_operations() == ()


CHANGES = {
    "host": {"host": "https://other.example.com"},
    "target": {"target": "stage"},
    "user": {"user": "other@example.com"},
    "profile": {"profile": "other"},
    "problem": {"problem": "the sign-in ran out"},
    "signed out": {"user": ""},
}


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_place_that_changed_since_the_question_refuses(kind: ActKind, change: str, journal: Journal) -> None:
    place = Place()
    guard = Guard(place, Policy(), journal)
    act = act_of(guard, kind)
    place.identity = replace(HERE, **CHANGES[change])  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        await guard.permit(act, confirmed=guard.confirm_word(act))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("change", [*CHANGES, "mode"])
async def test_a_place_that_changed_between_leave_and_call_refuses(
    kind: ActKind, change: str, journal: Journal
) -> None:
    place = Place()
    guard = Guard(place, Policy(), journal)
    act = act_of(guard, kind)
    permit = await guard.permit(act, confirmed=guard.confirm_word(act))
    place.identity = replace(HERE, **{"mode": {"mode": "production"}, **CHANGES}[change])  # type: ignore[arg-type]
    with pytest.raises(Refused):
        permit.consume()
    assert not permit.consumed


@pytest.mark.parametrize("kind", REMOTE)
async def test_an_act_has_to_say_where(kind: ActKind, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    with pytest.raises(Refused, match="where"):
        await guard.permit(Act(kind, "nightly", target="dev", data=SQL), confirmed="dev")


# --- the word --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if RULES[kind].remote])
@pytest.mark.parametrize("identity", [PROD, replace(HERE, target="PROD"), replace(HERE, target="production", mode="")])
async def test_production_takes_the_typed_name_of_the_target(
    kind: ActKind, identity: Identity, journal: Journal
) -> None:
    guard = Guard(Place(identity), Policy(), journal)
    act = act_of(guard, kind)
    assert guard.confirm_word(act) == identity.target
    for word in ("", "y", "yes", identity.target + " ", "nightly"):
        with pytest.raises(Refused, match="type") as caught:
            await guard.permit(act, confirmed=word)
        assert caught.value.flag == f"--confirm {identity.target}"
    await guard.permit(act, confirmed=identity.target)


@pytest.mark.parametrize("kind", KINDS)
async def test_by_itself_nothing_is_done_in_production_unless_the_config_allows_it(
    kind: ActKind, journal: Journal
) -> None:
    strict = Guard(Place(PROD), Policy(), journal)
    loose = Guard(Place(PROD), Policy(auto_in_production=True), journal)
    assert await allowed(strict, act_of(strict, kind), automatic=True) is (kind in ("patch", "fixer"))
    assert await allowed(loose, act_of(loose, kind), automatic=True) is RULES[kind].by_itself


@pytest.mark.parametrize("kind", KINDS)
async def test_a_destructive_act_takes_a_typed_word_everywhere_and_is_never_done_by_itself(
    kind: ActKind, journal: Journal
) -> None:
    guard = Guard(Place(), Policy(auto_in_production=True), journal)
    act = act_of(guard, kind, destructive=True, confirm_word="retail_gold")
    with pytest.raises(Refused, match="retail_gold"):
        await guard.permit(act, confirmed="dev")
    with pytest.raises(Refused, match="never by itself"):
        await guard.permit(act, confirmed="retail_gold", automatic=True)
    await guard.permit(act, confirmed="retail_gold")


def test_which_acts_are_destructive_and_which_the_loop_may_do_is_a_decision() -> None:
    assert {kind for kind in KINDS if RULES[kind].destructive} == {"destroy", "clear_state"}
    assert {kind for kind in KINDS if RULES[kind].by_itself} == {"deploy", "run", "update", "repair", "patch", "fixer"}
    assert {kind for kind in KINDS if not RULES[kind].needs_intent} == {"login"}


# --- one use ---------------------------------------------------------------------------------------------------------


async def test_a_permit_is_good_once_and_only_for_a_while(journal: Journal) -> None:
    now = [0.0]
    guard = Guard(Place(), Policy(), journal, clock=lambda: now[0])
    permit, old = [await guard.permit(guard.act("repair", "jobs.nightly")) for _ in range(2)]
    permit.consume()
    with pytest.raises(Refused, match="already"):
        permit.consume()
    guard.check_http("POST", "/api/2.2/jobs/runs/repair", permit)
    with pytest.raises(Refused, match="one call"):
        guard.check_http("POST", "/api/2.2/jobs/runs/repair", permit)
    now[0] = 121
    with pytest.raises(Refused, match="too old"):
        old.consume()


async def test_a_permit_that_was_not_consumed_opens_nothing(journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("repair", "jobs.nightly"))
    with pytest.raises(Refused, match="one call"):
        guard.check_http("POST", "/api/2.2/jobs/runs/repair", permit)


# --- the transports --------------------------------------------------------------------------------------------------


def concrete(kind: ActKind) -> list[tuple[str, str]]:
    """Requests that a permit of this kind may send."""
    return {
        "repair": [("POST", "/api/2.2/jobs/runs/repair"), ("POST", "/api/2.1/jobs/runs/repair")],
        "cancel": [("POST", "/api/2.2/jobs/runs/cancel")],
        "stop": [("POST", "/api/2.0/pipelines/5f1c-9a/stop")],
        "sql": [("POST", "/api/2.0/sql/statements"), ("POST", "/api/2.0/sql/statements/01ef-2/cancel")],
    }.get(kind, [])


CHANGING_HTTP = [
    *[request for kind in KINDS for request in concrete(kind)],
    *[("POST", f"/api/2.2/jobs/{verb}") for verb in ("create", "update", "reset", "delete", "run-now", "runs/delete")],
    *[("POST", "/api/2.2/jobs/runs/cancel-all"), ("POST", "/api/2.2/jobs/runs/submit")],
    *[("POST", "/api/2.0/pipelines"), ("POST", "/api/2.0/pipelines/x/updates"), ("PUT", "/api/2.0/pipelines/x")],
    *[("DELETE", "/api/2.0/pipelines/x"), ("POST", "/api/2.1/unity-catalog/schemas"), ("PATCH", "/api/2.1/x")],
    *[("POST", "/api/2.0/workspace/delete"), ("POST", "/api/2.1/clusters/start"), ("post", "/api/2.1/clusters/delete")],
    *[("POST", "/api/2.1/clusters/events/../delete"), ("POST", "/api/2.1/clusters/events\n"), ("OPTIONS", "/")],
    *[("POST", "/api/2.0/permissions/jobs/1"), ("POST", "/api/2.0/sql/warehouses/x/start"), ("DELETE", "/")],
]


@pytest.mark.parametrize("request_", CHANGING_HTTP, ids=lambda r: f"{r[0]} {r[1]!r}")
async def test_a_request_that_changes_something_needs_the_permit_of_its_kind(
    request_: tuple[str, str], journal: Journal
) -> None:
    guard = Guard(Place(), Policy(), journal)
    with pytest.raises(Refused):
        guard.check_http(*request_)
    for kind in KINDS:
        act = act_of(guard, kind)
        permit = await guard.permit(act, confirmed=guard.confirm_word(act))
        permit.consume()
        if request_ in concrete(kind):
            guard.check_http(*request_, permit, host=HERE.host)
        else:
            with pytest.raises(Refused):
                guard.check_http(*request_, permit)


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "/api/2.2/jobs/runs/get?run_id=7"),
        ("head", "/"),
        ("POST", "/api/2.1/clusters/events"),
        ("GET", "/api/2.0/sql/history/queries"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_what_only_reads_needs_no_permit(request_: tuple[str, str], read_only: bool) -> None:
    Guard(Place(Identity()), Policy(read_only=read_only)).check_http(*request_)


async def test_a_request_to_another_host_is_refused(journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("repair", "jobs.nightly"))
    permit.consume()
    with pytest.raises(Refused, match=r"other\.example"):
        guard.check_http("POST", "/api/2.2/jobs/runs/repair", permit, host="https://other.example.com")


@pytest.mark.parametrize("verb", sorted(READING_CLI))
@pytest.mark.parametrize("read_only", [True, False])
def test_a_verb_that_only_reads_needs_no_permit(verb: str, read_only: bool) -> None:
    Guard(Place(Identity()), Policy(read_only=read_only)).check_cli([*verb.split(), "-o", "json"])


CHANGING_CLI: list[tuple[str, str]] = [
    ("deploy", "bundle deploy"),
    ("run", "bundle run --no-wait"),
    ("update", "bundle run --no-wait"),
    ("destroy", "bundle destroy --auto-approve"),
    *[("", f"bundle {verb}") for verb in ("sync", "generate", "deployment bind", "init", "open", "debug", "")],
    *[("", verb) for verb in ("jobs delete 1", "jobs run-now 1", "fs rm dbfs:/x", "api post /x", "sync . /x")],
    *[("", verb) for verb in ("auth env", "auth logout", "auth token", "configure", "clusters delete x", "")],
    *[("", verb) for verb in ("-p dev bundle deploy", "bundle -t dev deploy", "--version bundle deploy")],
    *[("", verb) for verb in ("auth describe --sensitive", "auth describe -p dev --sensitive=true")],
    *[("", verb) for verb in ("secrets get-secret a b", "BUNDLE DEPLOY", "pipelines stop x")],
]  # fmt: skip


@pytest.mark.parametrize(("owner", "line"), CHANGING_CLI)
async def test_a_verb_that_changes_something_needs_the_permit_of_its_kind(
    owner: str, line: str, journal: Journal
) -> None:
    guard = Guard(Place(), Policy(), journal)
    words = [*line.split(), "-t", "dev", "-p", "dev"]
    with pytest.raises(Refused):
        guard.check_cli(words)
    for kind in KINDS:
        act = act_of(guard, kind)
        permit = await guard.permit(act, confirmed=guard.confirm_word(act))
        permit.consume()
        same_verb = bool(owner) and RULES[kind].cli == RULES[owner].cli
        if same_verb:
            guard.check_cli(words, permit)
        else:
            with pytest.raises(Refused):
                guard.check_cli(words, permit)


@pytest.mark.parametrize(
    "words",
    [
        "bundle deploy",
        "bundle deploy -t dev",
        "bundle deploy -p dev",
        "bundle deploy -t stage -p dev",
        "bundle deploy -t dev -p other",
        "bundle deploy -t dev -t stage -p dev",
        "bundle deploy --target=stage -p dev",
        "bundle deploy -tstage -p dev",
        "bundle deploy -t dev -p dev --force-lock",
        "bundle deploy -t dev -p dev --auto-approve=true",
        "bundle deploy -t dev -p dev --force",
    ],
)
async def test_a_deploy_names_its_target_and_profile_and_nothing_that_breaks(words: str, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("deploy", "bundle"))
    permit.consume()
    with pytest.raises(Refused):
        guard.check_cli(words.split(), permit)
    guard.check_cli(["bundle", "deploy", "--target", "dev", "--profile=dev"], permit)
    with pytest.raises(Refused, match="one call"):
        guard.check_cli(["bundle", "deploy", "--target", "dev", "--profile=dev"], permit)


@pytest.mark.parametrize("flag", ["--full-refresh", "--full-refresh-all", "--restart"])
async def test_a_refill_from_nothing_takes_a_destructive_act(flag: str, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    words = ["bundle", "run", "--no-wait", flag, "-t", "dev", "-p", "dev", "sales"]
    mild = await guard.permit(guard.act("update", "pipelines.sales"))
    mild.consume()
    with pytest.raises(Refused, match="typed word"):
        guard.check_cli(words, mild)
    act = guard.act("update", "pipelines.sales", destructive=True, confirm_word="sales")
    strong = await guard.permit(act, confirmed="sales")
    strong.consume()
    guard.check_cli(words, strong)


async def test_words_after_two_dashes_are_names_and_no_flags(journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("run", "jobs.odd"))
    permit.consume()
    guard.check_cli(["bundle", "run", "--no-wait", "-t", "dev", "-p", "dev", "--", "--force"], permit)


async def test_without_a_profile_the_environment_has_to_lead_to_the_host(journal: Journal) -> None:
    guard = Guard(Place(replace(HERE, profile="")), Policy(), journal)
    words = ["bundle", "deploy", "-t", "dev"]
    permit = await guard.permit(guard.act("deploy", "bundle"))
    permit.consume()
    for env in ({}, {"DATABRICKS_HOST": "https://other.example.com"}):
        with pytest.raises(Refused, match="environment"):
            guard.check_cli(words, permit, env=env)
    with pytest.raises(Refused, match="environment"):
        guard.check_cli(words, permit, env={"DATABRICKS_HOST": HERE.host, "DATABRICKS_CONFIG_PROFILE": "other"})
    guard.check_cli(words, permit, env={"DATABRICKS_HOST": HERE.host + "/"})


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    for folder in ("src", ".git", ".databricks/bundle/dev", ".databricks/bundle/live"):
        (root / folder).mkdir(parents=True)
    (root / "src" / "silver.py").write_text("x")
    (tmp_path / "outside.py").write_text("x")
    (root / "src" / "out.py").symlink_to(tmp_path / "outside.py")
    (root / "src" / "git.py").symlink_to(root / ".git" / "config")
    (root / "away").symlink_to(tmp_path)
    return root


OUTSIDE: list[Callable[[Path], Path]] = [
    lambda root: root / ".." / "outside.py",
    lambda root: root / "src" / "out.py",
    lambda root: root / "away" / "outside.py",
    lambda root: root / "src" / "git.py",
    lambda root: root / ".git" / "config",
    lambda root: root / ".databricks" / "bundle" / "dev" / "resources.json",
    lambda root: Path("/etc/passwd"),
    lambda root: Path("/dev/null"),
    lambda root: root / "src",
    lambda root: root,
    lambda root: root / "nul\0.py",
]


@pytest.mark.parametrize("kind", ["patch", "fixer"])
@pytest.mark.parametrize("where", range(len(OUTSIDE)))
async def test_an_edit_never_leaves_the_source_of_the_bundle(
    kind: ActKind, where: int, bundle: Path, journal: Journal
) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act(kind, "src/silver.py"))
    with pytest.raises(Refused):
        guard.check_write(OUTSIDE[where](bundle), bundle, permit)
    assert guard.check_write(bundle / "src" / "silver.py", bundle, permit) == (bundle / "src" / "silver.py").resolve()
    assert guard.check_write(bundle / "src" / "new.py", bundle, permit).name == "new.py"


async def test_an_edit_needs_a_permit_to_edit_that_was_not_used(bundle: Path, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    file = bundle / "src" / "silver.py"
    with pytest.raises(Refused):
        guard.check_write(file, bundle)
    for kind in KINDS:
        act = act_of(guard, kind)
        permit = await guard.permit(act, confirmed=guard.confirm_word(act))
        if kind not in ("patch", "fixer"):
            with pytest.raises(Refused):
                guard.check_write(file, bundle, permit)
        else:
            guard.check_write(file, bundle, permit)
            permit.consume()
            with pytest.raises(Refused, match="already"):
                guard.check_write(file, bundle, permit)


async def test_only_the_state_of_the_confirmed_target_is_forgotten(bundle: Path, journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    permit = await guard.permit(guard.act("clear_state", "bundle"), confirmed="dev")
    guard.check_write(bundle / ".databricks" / "bundle" / "dev" / "resources.json", bundle, permit)
    for path in (bundle / ".databricks" / "bundle" / "live" / "resources.json", bundle / "src" / "silver.py"):
        with pytest.raises(Refused):
            guard.check_write(path, bundle, permit)


# --- statements ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM main.gold.orders;",
        "  -- how many\n select replace(a, 'x', 'delete from y; drop') from t",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "DESCRIBE HISTORY main.silver.orders",
        "SHOW GRANTS ON TABLE main.silver.`drop table`",
        "SELECT comment, `update` FROM system.information_schema.tables",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "EXPLAIN SELECT 1",
    ],
)
def test_a_statement_that_reads(statement: str) -> None:
    check_sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " -- nothing",
        "DROP TABLE main.gold.orders",
        "SELECT 1; DROP TABLE t",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "with a as (select 1) merge into t using a on true when matched then delete",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "WITH a AS (SELECT 1) UPDATE `t` SET x = 1",
        "VACUUM t",
        "/* select */ TRUNCATE TABLE t",
        "'select' ; delete from t",
        "SELECT http_request(conn => 'c', method => 'POST')",
        "SELECT reflect('java.lang.System', 'exit', 0)",
        "SELECT r'\\' ; DELETE FROM t --'",
        "GRANT ALL PRIVILEGES ON TABLE t TO `you@example.com`",
        "USE CATALOG main",
    ],
)
def test_a_statement_that_does_more(statement: str) -> None:
    with pytest.raises(Refused, match="more than read"):
        check_sql(statement)
    check_sql(statement, destructive=True)


async def test_a_statement_that_changes_something_gets_no_permit_of_a_mild_act(journal: Journal) -> None:
    guard = Guard(Place(), Policy(), journal)
    act = guard.act("sql", "check", data={"statement": "DELETE FROM t"})
    with pytest.raises(Refused, match="more than read"):
        await guard.permit(act)
    strong = replace(act, destructive=True, confirm_word="t")
    assert (await guard.permit(strong, confirmed="t")).op_id > 0
