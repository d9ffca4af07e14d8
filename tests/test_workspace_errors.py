"""What an error of a workspace says: whatever comes, it is one clean sentence of a known kind."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from dbops_tui.core import api_errors
from dbops_tui.core.api_errors import Kind, of_answer, of_body, of_failure
from dbops_tui.core.redaction import Redactor
from hypothesis import given
from hypothesis import strategies as st

BODIES = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\x1b]0;x\x07<b>\n\r"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error_code", "message", "detail", "error", "status"]), inner)
    ),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())


@given(st.integers(min_value=100, max_value=999), st.text(), BODIES, st.booleans())
def test_every_answer_is_one_sentence_of_a_known_kind(status: int, wait: str, body: bytes, changes: bool) -> None:
    for error in (
        of_answer(status, {"Retry-After": wait}, body, Redactor(), changes=changes),
        of_body(status, body, "with something", Redactor(), changes=changes),
    ):
        assert error.kind in get_args(Kind)
        assert error.message
        assert error.message.isprintable() or not any(ord(char) < 32 for char in error.message)
        assert len(error.message) <= 500
        assert error.retry_after is None or 0 <= error.retry_after <= 86_400
        assert changes or not error.unknown
    if status >= 500:
        assert of_answer(status, {}, body, Redactor(), changes=True).unknown


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error_code": "X", "message": "as the API says it"}, "as the API says it"),
        ({"detail": "as SCIM says it", "status": "400"}, "as SCIM says it"),
        ({"error": "as OAuth says it"}, "as OAuth says it"),
        ({"error": {"message": "deeper"}}, "deeper"),
        ({"message": ""}, "the workspace answered 400 (Bad Request)"),
        (["odd"], "the workspace answered 400 (Bad Request)"),
    ],
)
def test_the_shapes_of_an_error_are_all_read(body: Any, said: str) -> None:
    assert of_answer(400, {}, json.dumps(body).encode(), Redactor()).message == said


def test_a_page_is_told_by_its_title() -> None:
    page = b"<html><head><title>Bad &amp; Gateway</title></head></html>"
    assert of_answer(502, {}, page, Redactor()).message == "the workspace answered with a page: Bad & Gateway"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"message": "Run 5 does not exist."}, "not_found"),
        (400, {"message": "Cluster 0921-x does not exist"}, "not_found"),
        (400, {"error_code": "RESOURCE_DOES_NOT_EXIST"}, "not_found"),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no such option"}, "refused"),
        (409, {"error_code": "RESOURCE_CONFLICT"}, "refused"),
        (400, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, "throttled"),
        (500, {"message": "Run 5 does not exist."}, "server"),
        (403, {"message": "Source IP address: 10.0.0.1 is blocked by Databricks IP ACL"}, "forbidden"),
        (418, {}, "refused"),
        (302, {}, "bad_answer"),
    ],
)
def test_the_kind_is_told_by_status_code_and_words(status: int, body: Any, kind: str) -> None:
    assert of_answer(status, {}, json.dumps(body).encode(), Redactor()).kind == kind


def test_nothing_that_an_exception_says_of_itself_is_shown() -> None:
    secret = "Bearer dapi-not-shaped-like-one"
    for error in (
        ConnectionError(secret),
        ValueError(secret),
        OSError(5, secret),
        type("InvalidHeader", (ValueError,), {})(secret),
    ):
        told = of_failure(error, "https://h.example.com", 10, changes=True)
        assert secret not in told.message
    inner = OSError("x")
    inner.__cause__ = inner
    assert of_failure(inner, "https://h.example.com", 10).kind == "unreachable"
    assert api_errors.sentence("a\n\n  b\x1b[31m", Redactor()) == "a b"
