"""The sandbox breaks what it is told to break, so that the clients' care can be tested."""

from __future__ import annotations

import http.client
import json

import pytest
from sandbox_fixture import SandboxBox, sandbox_box

__all__ = ["sandbox_box"]
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def box(sandbox_box: SandboxBox) -> SandboxBox:
    sandbox_box.control("POST", "reset")
    return sandbox_box


def script(box: SandboxBox, **rule: object) -> None:
    box.control("POST", "faults", rule)


@pytest.mark.parametrize("kind", ["401", "403", "404", "429", "500", "503", "504"])
def test_status_fault_strikes_as_often_as_asked(box: SandboxBox, kind: str) -> None:
    script(box, kind=kind, path=ME, times=2)
    replies = [box.call("GET", ME) for _ in range(3)]
    assert [reply.status for reply in replies] == [int(kind), int(kind), 200]
    assert replies[0].body["error_code"]


def test_retry_after_is_sent_as_scripted_even_nonsense(box: SandboxBox) -> None:
    script(box, kind="429", path=ME, retry_after=7)
    script(box, kind="429", path=ME)
    script(box, kind="503", path=ME, retry_after="soon")
    found = [box.call("GET", ME).headers.get("retry-after") for _ in range(3)]
    assert found == ["7", None, "soon"]


def test_502_is_html(box: SandboxBox) -> None:
    script(box, kind="502", path="*")
    reply = box.call("GET", ME)
    assert (reply.status, reply.headers["content-type"]) == (502, "text/html")


def test_rule_chooses_method_path_query_and_lets_the_first_calls_pass(box: SandboxBox) -> None:
    script(box, kind="500", method="GET", path="/api/2.2/jobs/*", query="limit=3", skip=1, times=-1)
    statuses = [box.call("GET", "/api/2.2/jobs/list", limit=limit).status for limit in (3, 4, 3, 3)]
    assert statuses == [200, 200, 500, 500]
    assert box.call("POST", "/api/2.2/jobs/create", {"name": "j"}).status == 200
    assert [rule["struck"] for rule in box.control("GET", "faults")["faults"]] == [2]


def test_reset_before_acting_leaves_nothing_behind(box: SandboxBox) -> None:
    script(box, kind="reset", method="POST", path="/api/2.2/jobs/create")
    with pytest.raises(ConnectionError):
        box.call("POST", "/api/2.2/jobs/create", {"name": "j"})
    assert box.control("GET", "state")["jobs"] == []


def test_reset_after_acting_has_made_the_job(box: SandboxBox) -> None:
    script(box, kind="reset", method="POST", path="/api/2.2/jobs/create", after=True)
    with pytest.raises(ConnectionError):
        box.call("POST", "/api/2.2/jobs/create", {"name": "j"})
    assert len(box.control("GET", "state")["jobs"]) == 1


def test_error_after_acting_has_made_the_job(box: SandboxBox) -> None:
    script(box, kind="503", method="POST", path="/api/2.2/jobs/create", after=True)
    assert box.call("POST", "/api/2.2/jobs/create", {"name": "j"}).status == 503
    assert len(box.control("GET", "state")["jobs"]) == 1


def test_cut_reply_ends_in_the_middle(box: SandboxBox) -> None:
    script(box, kind="cut", path=ME)
    with pytest.raises(http.client.IncompleteRead):
        box.call("GET", ME)


def test_half_json_is_whole_http_but_no_json(box: SandboxBox) -> None:
    script(box, kind="half_json", path=ME)
    reply = box.call("GET", ME)
    assert isinstance(reply.body, bytes)
    with pytest.raises(ValueError, match=r"."):
        json.loads(reply.body)


def test_empty_wrong_type_and_wrong_shape(box: SandboxBox) -> None:
    for kind in ("empty", "wrong_type", "wrong_shape"):
        script(box, kind=kind, path=ME)
    empty, page, shape = (box.call("GET", ME) for _ in range(3))
    assert empty.body == b""
    assert page.headers["content-type"].startswith("text/html")
    assert isinstance(shape.body, list)


def test_huge_body_is_valid_json_with_the_real_answer_in_it(box: SandboxBox) -> None:
    script(box, kind="huge", path=ME, size=3_000_000)
    body = box.call("GET", ME).body
    assert (len(body["padding"]), body["userName"]) == (3_000_000, "you@example.com")


def test_slow_reply_still_arrives(box: SandboxBox) -> None:
    script(box, kind="slow", path=ME, seconds=0.01)
    assert box.call("GET", ME).status == 200


def test_unknown_kind_is_refused(box: SandboxBox) -> None:
    assert box.call("POST", "/sandbox/faults", {"kind": "earthquake"}).status == 400


def test_expired_token_is_401_until_it_is_valid_again(box: SandboxBox) -> None:
    box.control("POST", "token", {"expired": True})
    assert box.call("GET", ME).status == 401
    box.control("POST", "token", {"expired": False})
    assert box.call("GET", ME).status == 200


def test_calls_are_told_with_method_path_status_and_fault(box: SandboxBox) -> None:
    box.control("DELETE", "calls")
    script(box, kind="429", path=ME)
    box.call("GET", ME)
    box.call("GET", "/api/2.2/jobs/get", job_id=5)
    found = [(call["method"], call["path"], call["query"], call["status"], call["fault"]) for call in box.calls()]
    assert found == [("GET", ME, "", 429, "429"), ("GET", "/api/2.2/jobs/get", "job_id=5", 404, "")]
    assert len(box.calls(path="*/jobs/*")) == 1


def test_clock_is_frozen_advanced_and_scaled(box: SandboxBox) -> None:
    frozen = box.control("POST", "clock", {"freeze": True})["now_ms"]
    assert box.control("GET", "clock")["now_ms"] == frozen
    assert box.control("POST", "clock", {"advance_ms": 60_000})["now_ms"] == frozen + 60_000
    assert box.control("POST", "clock", {"scale": 50, "freeze": False})["scale"] == 50
    box.control("POST", "clock", {"scale": 1})
    assert box.call("POST", "/sandbox/clock", {"scale": 0}).status == 400


def test_lock_is_held_and_let_go(box: SandboxBox) -> None:
    state = "/Workspace/Users/you@example.com/.bundle/b/prod/state"
    held = box.control("POST", "lock", {"state_path": state})
    assert held["lock"]["User"] == "someone.else@example.com"
    box.control("DELETE", "lock", state_path=state)
    assert box.call("GET", "/api/2.0/workspace/get-status", path=f"{state}/deploy.lock").status == 404


def test_quirks_are_set_and_unknown_ones_refused(box: SandboxBox) -> None:
    assert box.control("POST", "quirks", {"unknown_enums": True})["unknown_enums"] is True
    assert box.call("POST", "/sandbox/quirks", {"earthquake": True}).status == 400
