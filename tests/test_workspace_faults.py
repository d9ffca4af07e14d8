"""What a workspace can do to a request: each fault has its kind, nothing is sent twice, no token gets out, no thread
is lost."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.transport import ANSWER_LIMIT
from dbops_tui.core.workspace import WorkspaceError
from sandbox_fixture import SandboxBox, running_sandbox
from sandbox_work import advance, get_run, job, nb_task, notebook, start
from workspace_work import Desk, answer, desk_at, other_host, raw_host

HOUR = 3600
ME = "/api/2.0/preview/scim/v2/Me"
REPAIR = "/api/2.2/jobs/runs/repair"
GET = "/api/2.2/jobs/runs/get"


@pytest.fixture(scope="module")
def shared_box() -> Iterator[SandboxBox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def box(shared_box: SandboxBox) -> Iterator[SandboxBox]:
    shared_box.control("POST", "reset")
    shared_box.control("POST", "clock", {"freeze": True})
    yield shared_box
    shared_box.control("POST", "token", {"expired": False})


@pytest.fixture
async def desk(box: SandboxBox, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(box, tmp_path) as found:
        # Signed in already, so that a fault strikes what the test is about.
        await found.workspace.me()
        box.control("DELETE", "calls")
        yield found


def script(box: SandboxBox, kind: str, **more: Any) -> None:
    box.control("POST", "faults", {"kind": kind, **more})


async def failure(asked: Any) -> WorkspaceError:
    with pytest.raises(WorkspaceError) as caught:
        await asked
    return caught.value


def failed_run(box: SandboxBox) -> str:
    run_id = start(box, job(box, nb_task("a", notebook(box, "bad", "import nowhere_to_be_found\n"))))
    advance(box, HOUR)
    return str(run_id)


# --- one kind for each fault ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "status", "said"),
    [
        ({"kind": "401"}, "signed_out", 401, "Credential was not sent"),
        ({"kind": "403"}, "forbidden", 403, "does not have permission"),
        ({"kind": "403", "message": "Invalid access token."}, "signed_out", 403, "Invalid access token"),
        ({"kind": "403", "message": "The access token has expired"}, "signed_out", 403, "expired"),
        ({"kind": "403", "message": "You may not manage tokens"}, "forbidden", 403, "manage tokens"),
        ({"kind": "404"}, "not_found", 404, "does not exist"),
        ({"kind": "429"}, "throttled", 429, "rate limit"),
        (
            {"kind": "429", "error_code": "RESOURCE_EXHAUSTED", "message": "RPC token bucket"},
            "throttled",
            429,
            "bucket",
        ),
        ({"kind": "500"}, "server", 500, "internal error"),
        ({"kind": "502"}, "server", 502, "502 Bad Gateway"),
        ({"kind": "503"}, "server", 503, "temporarily unavailable"),
        ({"kind": "504"}, "server", 504, "taking too long"),
        ({"kind": "half_json"}, "bad_answer", 200, "half of it"),
        ({"kind": "empty"}, "bad_answer", 200, "with nothing"),
        ({"kind": "wrong_type"}, "bad_answer", 200, "Sign in"),
        ({"kind": "wrong_shape"}, "bad_answer", 200, "another shape"),
        ({"kind": "huge", "size": ANSWER_LIMIT + 1000}, "bad_answer", 200, "more than can be read"),
        ({"kind": "reset"}, "unreachable", 0, "connection to 127.0.0.1"),
        ({"kind": "cut"}, "unreachable", 0, "broke"),
    ],
)
async def test_each_fault_has_its_kind_and_is_asked_once(
    desk: Desk, fault: dict[str, Any], kind: str, status: int, said: str
) -> None:
    script(desk.box, path=ME, times=-1, **fault)
    error = await failure(desk.workspace.me())
    assert (error.kind, error.status) == (kind, status)
    assert said in error.message
    assert "\n" not in error.message
    assert len(error.message) <= 500
    assert error.unknown is False
    assert error.unmeasured == (kind not in ("forbidden", "not_found", "refused"))
    assert len(desk.box.calls(path=ME)) == 1
    desk.box.control("DELETE", "faults")
    assert await desk.workspace.me() == "you@example.com"


@pytest.mark.parametrize("kind", ["429", "503"])
@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), (None, None), ("soon", None), ("-3", None), ("9" * 9, 86_400.0)]
)
async def test_what_the_workspace_asks_us_to_wait_surfaces_at_once(
    desk: Desk, kind: str, header: str | None, seconds: float | None
) -> None:
    script(desk.box, kind, path=ME, times=-1, retry_after=header)
    error = await failure(desk.workspace.me())
    assert error.retry_after == seconds
    assert len(desk.box.calls(path=ME)) == 1


async def test_retry_after_may_be_a_date(desk: Desk) -> None:
    script(desk.box, "429", path=ME, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")
    assert (await failure(desk.workspace.me())).retry_after == 0.0
    script(desk.box, "429", path=ME, retry_after="Fri, 31 Dec 9999 23:59:59 GMT")
    assert (await failure(desk.workspace.me())).retry_after == 86_400.0


async def test_five_megabytes_of_an_answer_are_read(desk: Desk) -> None:
    script(desk.box, "huge", path=ME, size=5_000_000)
    assert await desk.workspace.me() == "you@example.com"


async def test_the_pages_of_a_run_stop_where_one_of_them_fails(desk: Desk) -> None:
    path = notebook(desk.box, "ok")
    run_id = start(desk.box, job(desk.box, *(nb_task(f"t{number}", path) for number in range(150))))
    script(desk.box, "500", path=GET, query="page_token", times=-1)
    assert (await failure(desk.workspace.run(str(run_id)))).kind == "server"
    assert len(desk.box.calls(path=GET)) == 2


async def test_a_host_that_repeats_its_page_token_is_asked_no_third_time(desk: Desk) -> None:
    page = json.dumps({"runs": [{"run_id": 1}], "next_page_token": "again"}).encode()

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", page))

    async with raw_host(behave) as (host, requests), other_host(desk, host) as workspace:
        assert [run.run_id for run in await workspace.active_runs()] == ["1"]
        assert len(requests) == 2


# --- a change is sent once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ({"kind": "reset", "after": True}, "unreachable", True),
        ({"kind": "reset"}, "unreachable", True),
        ({"kind": "cut"}, "unreachable", True),
        ({"kind": "500", "after": True}, "server", True),
        ({"kind": "502", "after": True}, "server", True),
        ({"kind": "503", "retry_after": "1"}, "server", True),
        ({"kind": "504", "after": True}, "server", True),
        ({"kind": "half_json"}, "bad_answer", True),
        ({"kind": "empty", "after": True}, "bad_answer", True),
        ({"kind": "wrong_type", "after": True}, "bad_answer", True),
        ({"kind": "wrong_shape"}, "bad_answer", True),
        ({"kind": "429", "retry_after": "1"}, "throttled", False),
        ({"kind": "401"}, "signed_out", False),
        ({"kind": "403"}, "forbidden", False),
        ({"kind": "404"}, "not_found", False),
    ],
)
async def test_a_repair_is_sent_exactly_once_whatever_comes_back(
    desk: Desk, fault: dict[str, Any], kind: str, unknown: bool
) -> None:
    run_id = failed_run(desk.box)
    script(desk.box, path=REPAIR, times=-1, **fault)
    error = await failure(desk.workspace.repair(await desk.permit("repair"), run_id, latest_repair_id=None))
    assert (error.kind, error.unknown) == (kind, unknown)
    assert len(desk.box.calls(path=REPAIR)) == 1
    acted = len(get_run(desk.box, int(run_id))["repair_history"]) == 2
    # What the workspace did and did not say is never called undone.
    assert unknown or not acted
    if fault.get("after"):
        assert acted


async def test_a_repair_that_names_no_repair_may_have_been_made(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", b"{}"))

    async with raw_host(behave) as (host, requests), other_host(desk, host) as workspace:
        error = await failure(workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
        assert (error.kind, error.unknown, len(requests)) == ("bad_answer", True, 1)


async def test_a_change_never_reuses_a_connection_that_may_be_dead(desk: Desk) -> None:
    run_id = failed_run(desk.box)
    peers: list[Any] = []

    async def behave(request: bytes, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))
        writer.write(answer("200 OK", b'{"repair_id": 7, "userName": "you"}'))

    async with raw_host(behave) as (host, _), other_host(desk, host) as workspace:
        for _ in range(2):
            await workspace.me()
        permit = await desk.permit("repair")
        assert await workspace.repair(permit, run_id, latest_repair_id=None) == "7"
    assert peers[0] == peers[1] != peers[2]


async def test_a_redirect_is_never_followed(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("302 Found", b"", f"Location: {desk.box.host}{ME}"))

    async with raw_host(behave) as (host, requests), other_host(desk, host) as workspace:
        error = await failure(workspace.me())
        assert (error.kind, error.status, error.unknown) == ("bad_answer", 302, False)
        assert len(requests) == 1
    assert desk.box.calls(path=ME) == []


async def test_where_nothing_listens_nothing_is_unknown(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with raw_host(behave) as (host, _):
        pass
    async with other_host(desk, host) as workspace:
        error = await failure(workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
    assert (error.kind, error.unknown) == ("unreachable", False)
    assert error.message.endswith("cannot be connected to: connection refused")


async def test_a_proxy_that_is_not_there_is_said_so_and_nothing_is_unknown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HTTP_PROXY", "http://somebody:secret-word-77@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://somebody:secret-word-77@127.0.0.1:9")
    error = await failure(desk.workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
    assert (error.kind, error.unknown) == ("unreachable", False)
    assert error.message == f"the proxy does not let us through to {desk.box.host[7:]}"


async def test_a_host_that_does_not_exist_is_said_so(desk: Desk) -> None:
    async with other_host(desk, "http://nowhere.invalid") as workspace:
        error = await failure(workspace.me())
    assert (error.kind, error.message) == ("unreachable", "there is no host nowhere.invalid")


# --- signing in -------------------------------------------------------------------------------------------------------


async def test_an_expired_token_is_signed_out_until_it_is_good_again(desk: Desk) -> None:
    desk.box.control("POST", "token", {"expired": True})
    for _ in range(2):
        error = await failure(desk.workspace.me())
        assert (error.kind, error.unmeasured) == ("signed_out", True)
    desk.box.control("POST", "token", {"expired": False})
    assert await desk.workspace.me() == "you@example.com"


async def test_a_profile_that_was_signed_in_again_is_read_again(box: SandboxBox, tmp_path: Path) -> None:
    file = tmp_path / "databrickscfg"

    def write(token: str) -> None:
        file.write_text(f"[dev]\nhost = {box.host}\ntoken = {token}\n")

    write("dapi" + "00000000" * 4)
    options = {"host": box.host, "profile": "dev", "config_file": str(file), "auth_type": "pat"}
    async with desk_at(box, tmp_path, options=options) as desk:
        assert (await failure(desk.workspace.me())).kind == "signed_out"
        write(box.token)
        assert await desk.workspace.me() == "you@example.com"


async def test_a_profile_that_is_not_there_is_signed_out_in_one_sentence(box: SandboxBox, tmp_path: Path) -> None:
    (tmp_path / "databrickscfg").write_text("[other]\nhost = https://other.example.com\n")
    options = {"host": box.host, "profile": "dev", "config_file": str(tmp_path / "databrickscfg"), "auth_type": "pat"}
    async with desk_at(box, tmp_path, options=options) as desk:
        error = await failure(desk.workspace.me())
    assert (error.kind, error.status) == ("signed_out", 0)
    assert error.message.startswith("not signed in: ")
    assert "Config:" not in error.message


async def test_a_sign_in_for_another_host_is_refused_before_anything_is_sent(box: SandboxBox, tmp_path: Path) -> None:
    options = {"host": "http://127.0.0.1:9", "token": box.token, "auth_type": "pat"}
    async with desk_at(box, tmp_path, options=options) as desk:
        error = await failure(desk.workspace.me())
    assert "leads to http://127.0.0.1:9" in error.message
    assert box.calls(path=ME) == []


async def test_nothing_of_the_environment_takes_the_place_of_the_sign_in(
    box: SandboxBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi" + "11111111" * 4)
    monkeypatch.setenv("DATABRICKS_HOST", "https://elsewhere.example.com")
    async with desk_at(box, tmp_path) as desk:
        assert await desk.workspace.me() == "you@example.com"


async def test_many_first_calls_sign_in_once(box: SandboxBox, tmp_path: Path) -> None:
    box.control("DELETE", "calls")
    async with desk_at(box, tmp_path) as desk:
        await asyncio.gather(*(desk.workspace.me() for _ in range(12)))
    assert len(box.calls(path="/.well-known/*")) == 1
    assert len(box.calls(path=ME)) == 12


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["401", "403", "404", "429", "500", "503"])
async def test_a_token_that_comes_back_in_an_answer_is_masked(desk: Desk, kind: str) -> None:
    token = desk.box.token
    said = f"\x1b[31mtoken {token} is bad; half of it is {token[:20]} {token[20:]}"
    script(desk.box, kind, path=ME, message=said, error_code=f"CODE_{token}")
    error = await failure(desk.workspace.me())
    told = f"{error} {error!r} {error.message} {error.error_code} {error.args}"
    assert not any(token[start : start + 8] in told for start in range(4, len(token) - 8))
    assert "\x1b" not in told


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "401"}, {"kind": "half_json"}, {"kind": "cut"}])
async def test_no_frame_of_an_error_holds_the_token(desk: Desk, fault: dict[str, Any]) -> None:
    script(desk.box, path=ME, **fault)
    error = await failure(desk.workspace.me())
    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # The frames of this test know the box, and so the token.
    ours = told[told.index("core/workspace.py") :]
    assert desk.box.token not in ours
    assert desk.box.token not in repr(desk.workspace) + repr(vars(desk.workspace)) + repr(vars(desk.workspace._door))


async def test_the_logs_of_a_task_never_show_the_token_we_hold(desk: Desk) -> None:
    body = json.dumps(
        {"metadata": {"run_id": 5}, "error": f"no {desk.box.token}", "logs": desk.box.token[:16]}
    ).encode()

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", body))

    async with raw_host(behave) as (host, _), other_host(desk, host) as workspace:
        output = await workspace.output("5")
    assert desk.box.token[4:12] not in output.error + output.logs


# --- threads ----------------------------------------------------------------------------------------------------------


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dbops-workspace"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        for _ in iter(condition, True):
            await asyncio.sleep(0.005)


async def test_no_more_requests_are_under_way_than_there_are_threads(desk: Desk) -> None:
    waiting: list[asyncio.StreamWriter] = []

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)

    async with raw_host(behave) as (host, requests), other_host(desk, host, threads=3) as workspace:
        calls = [asyncio.ensure_future(workspace.me()) for _ in range(10)]
        for answered in range(10):
            await until(lambda answered=answered: len(waiting) == min(3, 10 - answered))
            assert len(requests) == answered + len(waiting)
            waiting.pop(0).write(answer("200 OK", b'{"userName": "you"}'))
        assert await asyncio.gather(*calls) == ["you"] * 10


SLOWLY = {
    "silence": (b"", b""),
    "a head without an end": (b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n"),
    "a body without an end": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n{", b" "),
}


@pytest.mark.parametrize("slowly", SLOWLY)
async def test_a_call_that_nobody_waits_for_gives_its_thread_back(desk: Desk, slowly: str) -> None:
    first, more = SLOWLY[slowly]

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while more:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0.2)

    async with raw_host(behave) as (host, requests), other_host(desk, host, threads=1) as workspace:
        call = asyncio.ensure_future(workspace.me())
        await until(lambda: len(requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not ours())
        # And its place among the requests: there is one only.
        second = asyncio.ensure_future(workspace.me())
        await until(lambda: len(requests) == 2)
        second.cancel()


async def test_a_host_that_never_answers_is_given_up_after_the_time_and_the_change_is_unknown(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with raw_host(behave) as (host, requests), other_host(desk, host, seconds=0.3) as workspace:
        error = await failure(workspace.me())
        assert (error.kind, error.unknown) == ("unreachable", False)
        assert "does not answer within" in error.message
        error = await failure(workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
        assert (error.kind, error.unknown) == ("unreachable", True)
        assert len(requests) == 2
        await until(lambda: not ours())


async def test_a_change_that_was_given_up_before_it_was_sent_is_never_sent(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with raw_host(behave) as (host, requests), other_host(desk, host, threads=1) as workspace:
        permit = await desk.permit("repair")
        holding = asyncio.ensure_future(workspace.me())
        await until(lambda: len(requests) > 0)
        repair = asyncio.ensure_future(workspace.repair(permit, "5", latest_repair_id=None))
        await asyncio.sleep(0)
        repair.cancel()
        with pytest.raises(asyncio.CancelledError):
            await repair
        assert permit.consumed is False
        holding.cancel()
        assert len(requests) == 1


async def test_close_waits_for_no_socket_that_hangs_and_lets_nothing_more_out(desk: Desk) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with raw_host(behave) as (host, requests), other_host(desk, host) as workspace:
        hanging = asyncio.ensure_future(workspace.me())
        await until(lambda: len(requests) > 0)
        repair = asyncio.ensure_future(workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
        await until(lambda: len(requests) == 2)
        await workspace.close()
        error = await failure(workspace.me())
        assert (error.kind, error.message) == ("refused", "the connection to the workspace was closed")
        for call, unknown in ((hanging, False), (repair, True)):
            error = await failure(call)
            assert (error.kind, error.unknown) == ("unreachable", unknown)
        assert len(requests) == 2


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts yet, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    return certificate, key


async def test_over_tls_who_is_not_trusted_gets_nothing_and_a_call_that_is_given_up_ends(
    desk: Desk, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def behave(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/Me " in request:
            writer.write(answer("200 OK", b'{"userName": "you"}'))

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with raw_host(behave, tls) as (host, requests):
        async with other_host(desk, host) as workspace:
            error = await failure(workspace.repair(await desk.permit("repair"), "5", latest_repair_id=None))
            assert (error.kind, error.unknown, requests) == ("unreachable", False, [])
            assert error.message.startswith(f"the certificate of {host[8:]} is not trusted")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        async with other_host(desk, host, threads=1) as workspace:
            assert await workspace.me() == "you"
            hanging = asyncio.ensure_future(workspace.run("5"))
            await until(lambda: len(requests) == 2)
            hanging.cancel()
            await until(lambda: not ours())
            assert await workspace.me() == "you"


HANGS = """
import asyncio, sys, threading
from dbops_tui.core.guard import Guard, Policy
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.state import Identity
from dbops_tui.core.workspace import Workspace

assert not {"databricks.sdk", "requests", "urllib3"} & sys.modules.keys(), "imported before it is needed"
threads = set()
sys.addaudithook(lambda event, args: event == "import" and args[0].startswith("databricks.sdk") and threads.add(
    threading.current_thread() is threading.main_thread()))

async def main():
    host = sys.argv[1]
    guard = Guard(lambda: Identity(host=host, user="you", target="dev"), Policy())
    options = {"host": host, "token": "x" * 20, "auth_type": "pat"}
    workspace = Workspace(host, options, guard=guard, redactor=Redactor())
    call = asyncio.ensure_future(workspace.me())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    call.cancel()
    await workspace.close()
    assert "databricks.sdk" in sys.modules
    assert threads == {False}, "imported on the event loop's thread"
    print("ended")

asyncio.run(main())
"""


async def test_the_sdk_comes_late_and_on_a_thread_and_a_hanging_socket_does_not_keep_the_program(
    tmp_path: Path,
) -> None:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with raw_host(behave) as (host, requests):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HANGS, host), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        await until(lambda: bool(requests) or process.returncode is not None)
        # The socket never answers: the program ends although its thread is still in it.
        said, errors = await process.communicate(b"go\n")
    assert (process.returncode, said, errors) == (0, b"ended\n", b"")
