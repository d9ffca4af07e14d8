"""The sandbox's replies for kinds of resources that `bundle deploy` reads back and compares: secrets of Unity Catalog,
vector search, Genie spaces, synced tables, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_fixture import SandboxBox, running_sandbox

SECRETS = "/api/2.1/unity-catalog/secrets"
ENDPOINTS = "/api/2.0/vector-search/endpoints"
INDEXES = "/api/2.0/vector-search/indexes"
DATABASE = "/api/2.0/database"
WANTED = {"catalog_name": "main", "schema_name": "etl", "name": "key", "value": "s3cret", "comment": "for the feed"}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxBox]:
    with running_sandbox() as box:
        yield box


@pytest.fixture
def box(server: SandboxBox) -> SandboxBox:
    server.control("POST", "reset")
    return server


class TestSecrets:
    ONE = f"{SECRETS}/main.etl.key"

    def test_what_was_written_can_be_read_back_and_compared(self, box: SandboxBox) -> None:
        made = box.post(SECRETS, WANTED)
        got = box.get(self.ONE, include_value="true")
        assert made == got
        assert (got["effective_value"], got["comment"]) == ("s3cret", "for the feed")
        assert got["effective_owner"] == got["owner"] == got["created_by"] == "you@example.com"
        assert got["create_time"].endswith("Z")

    def test_value_is_told_only_where_it_is_asked_for(self, box: SandboxBox) -> None:
        box.post(SECRETS, WANTED)
        for shown in (box.get(self.ONE), box.get(SECRETS)["secrets"][0]):
            assert shown["full_name"] == "main.etl.key"
            assert not shown.keys() & {"value", "effective_value"}

    def test_update_empties_a_comment_and_keeps_the_rest(self, box: SandboxBox) -> None:
        box.post(SECRETS, {**WANTED, "expire_time": "2030-01-01T00:00:00Z"})
        reply = box.call("PATCH", self.ONE, {"comment": "", "owner": "team"}, update_mask="*")
        assert reply.status == 200
        got = box.get(self.ONE, include_value="true")
        assert "comment" not in got
        assert (got["effective_value"], got["effective_owner"]) == ("s3cret", "team")
        assert got["expire_time"] == "2030-01-01T00:00:00Z"
        box.call("PATCH", self.ONE, {"value": "new", "comment": "c"}, update_mask="*")
        got = box.get(self.ONE, include_value="true")
        assert (got["effective_value"], got["comment"]) == ("new", "c")

    def test_twice_is_a_conflict_and_gone_is_missing(self, box: SandboxBox) -> None:
        box.post(SECRETS, WANTED)
        again = box.call("POST", SECRETS, WANTED)
        assert (again.status, again.body["error_code"]) == (409, "RESOURCE_ALREADY_EXISTS")
        assert box.call("DELETE", self.ONE).status == 200
        for method, body in (("GET", None), ("PATCH", {"comment": "x"}), ("DELETE", None)):
            reply = box.call(method, self.ONE, body)
            assert (reply.status, reply.body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")

    @pytest.mark.parametrize("lacking", ["name", "value", "catalog_name", "schema_name"])
    def test_field_that_lacks_is_refused(self, box: SandboxBox, lacking: str) -> None:
        body = {key: value for key, value in WANTED.items() if key != lacking}
        assert box.call("POST", SECRETS, body).status == 400


class TestVectorSearch:
    def endpoint(self, box: SandboxBox, **more: object) -> None:
        box.post(ENDPOINTS, {"name": "near", "endpoint_type": "STANDARD", **more})

    @pytest.mark.parametrize("key", ["target_qps", "min_qps"])
    def test_size_is_told_as_what_was_asked_for(self, box: SandboxBox, key: str) -> None:
        self.endpoint(box, **{key: 20})
        got = box.get(f"{ENDPOINTS}/near")
        assert got["scaling_info"] == {f"requested_{key}": 20}
        assert key not in got
        box.call("PATCH", f"{ENDPOINTS}/near", {key: 30})
        box.call("PATCH", f"{ENDPOINTS}/near", {})
        assert box.get(f"{ENDPOINTS}/near")["scaling_info"] == {f"requested_{key}": 30}

    def test_budget_policy_takes_effect(self, box: SandboxBox) -> None:
        self.endpoint(box, budget_policy_id="one")
        assert box.get(f"{ENDPOINTS}/near")["effective_budget_policy_id"] == "one"
        reply = box.call("PATCH", f"{ENDPOINTS}/near/budget-policy", {"budget_policy_id": "two"})
        assert reply.body == {"effective_budget_policy_id": "two"}
        got = box.get(f"{ENDPOINTS}/near")
        assert (got["budget_policy_id"], got["effective_budget_policy_id"]) == ("two", "two")

    def test_index_needs_its_endpoint(self, box: SandboxBox) -> None:
        index = {"name": "main.etl.docs", "endpoint_name": "near", "primary_key": "id", "index_type": "DELTA_SYNC"}
        reply = box.call("POST", INDEXES, index)
        assert (reply.status, reply.body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        self.endpoint(box)
        box.post(INDEXES, index)
        assert box.get(f"{INDEXES}/main.etl.docs")["endpoint_name"] == "near"

    @pytest.mark.parametrize("name", ["docs", "main.etl", "main.etl.my-docs", "main.etl.", "main.etl.ä"])
    def test_index_name_of_another_form_is_refused(self, box: SandboxBox, name: str) -> None:
        self.endpoint(box)
        assert box.call("POST", INDEXES, {"name": name, "endpoint_name": "near"}).status == 400


def test_genie_space_that_is_not_there_looks_like_one_of_somebody_else(box: SandboxBox) -> None:
    reply = box.call("GET", "/api/2.0/genie/spaces/0123456789abcdef0123456789abcdef")
    assert (reply.status, reply.body["error_code"]) == (403, "PERMISSION_DENIED")


def test_synced_table_needs_its_instance_and_cannot_be_changed(box: SandboxBox) -> None:
    table = {"name": "main.etl.synced", "database_instance_name": "small", "logical_database_name": "db"}
    assert box.call("POST", f"{DATABASE}/synced_tables", table).status == 404
    box.post(f"{DATABASE}/instances", {"name": "small", "capacity": "CU_1"})
    box.post(f"{DATABASE}/synced_tables", table)
    reply = box.call("PATCH", f"{DATABASE}/synced_tables/main.etl.synced", {"logical_database_name": "other"})
    assert (reply.status, reply.body["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert box.get(f"{DATABASE}/synced_tables/main.etl.synced")["logical_database_name"] == "db"
