"""What a warehouse of the sandbox answers to statements that only look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sandbox_fixture import SandboxBox, running_sandbox

CATALOG = "/api/2.1/unity-catalog"
MISSING = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`shop`.`nothing` cannot be found."


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxBox]:
    with running_sandbox(scenario="retail") as running:
        running.call("POST", f"{CATALOG}/schemas", {"name": "shop", "catalog_name": "main"})
        volume = {"name": "landing", "schema_name": "shop", "catalog_name": "main", "volume_type": "MANAGED"}
        running.call("POST", f"{CATALOG}/volumes", volume)
        running.call("PUT", "/api/2.0/fs/files/Volumes/main/shop/landing/a.json", raw=b"{}")
        change = {"changes": [{"principal": "you@example.com", "add": ["USE_SCHEMA", "SELECT"]}]}
        running.call("PATCH", f"{CATALOG}/permissions/schema/main.shop", change)
        yield running


def ask(box: SandboxBox, statement: str) -> dict[str, Any]:
    warehouse = box.get("/api/2.0/sql/warehouses")["warehouses"][0]["id"]
    reply = box.call("POST", "/api/2.0/sql/statements", {"statement": statement, "warehouse_id": warehouse})
    assert reply.status == 200, reply
    assert isinstance(reply.body, dict)
    return reply.body


def rows(box: SandboxBox, statement: str) -> tuple[list[str], list[list[str]]]:
    told = ask(box, statement)
    assert told["status"]["state"] == "SUCCEEDED", told
    manifest = told["manifest"]
    assert manifest["total_row_count"] == told["result"]["row_count"] == len(told["result"]["data_array"])
    return [column["name"] for column in manifest["schema"]["columns"]], told["result"]["data_array"]


@pytest.mark.parametrize(
    "name", ["main.shop.silver_orders", "`main`.`shop`.`silver_orders`", "main.shop.silver_orders ;"]
)
def test_a_table_is_described_by_its_columns_however_it_is_quoted(box: SandboxBox, name: str) -> None:
    columns, found = rows(box, f"DESCRIBE TABLE {name}")
    assert columns == ["col_name", "data_type", "comment"]
    assert found[:2] == [["order_id", "bigint", ""], ["customer_id", "bigint", ""]]


@pytest.mark.parametrize(
    ("statement", "said", "sql_state"),
    [
        ("DESCRIBE TABLE main.shop.nothing", MISSING, "42P01"),
        ("DESCRIBE main.elsewhere.silver_orders", "`main`.`elsewhere`.`silver_orders` cannot be found", "42P01"),
        ("SHOW TBLPROPERTIES main.shop.nothing", MISSING, "42P01"),
        ("DESCRIBE SCHEMA main.elsewhere", "[SCHEMA_NOT_FOUND]", "42704"),
        ("DESCRIBE VOLUME main.shop.nothing", "[VOLUME_NOT_FOUND]", "42704"),
        ("LIST '/Volumes/main/shop/nothing/x'", "[VOLUME_NOT_FOUND]", "42704"),
        ("LIST '/Volumes/main/shop/landing/x'", "[PATH_NOT_FOUND]", "42K03"),
        ("SELECT MIN(nothing), MAX(nothing) FROM main.shop.silver_orders", "[UNRESOLVED_COLUMN]", "42703"),
    ],
)
def test_what_is_not_there_is_refused_in_the_words_of_a_real_warehouse(
    box: SandboxBox, statement: str, said: str, sql_state: str
) -> None:
    status = ask(box, statement)["status"]
    assert status["state"] == "FAILED"
    assert said in status["error"]["message"]
    assert status["error"]["message"].endswith(f"SQLSTATE: {sql_state}")
    assert status["sql_state"] == sql_state


def test_schemas_volumes_and_what_is_in_them_are_listed(box: SandboxBox) -> None:
    assert ["full_name", "main.shop", ""] in rows(box, "DESCRIBE SCHEMA main.shop")[1]
    assert ["full_name", "main.shop.landing", ""] in rows(box, "DESCRIBE VOLUME `main`.`shop`.`landing`")[1]
    assert [row[1] for row in rows(box, "LIST '/Volumes/main/shop/landing'")[1]] == ["a.json"]
    names = [row[1] for row in rows(box, "SHOW TABLES IN main.shop LIKE 'gold_*'")[1]]
    assert names == ["gold_customers", "gold_daily_sales"]
    assert rows(box, "SHOW TABLES IN main.shop LIKE '*_metrics'")[1] == []
    assert dict(rows(box, "SHOW TBLPROPERTIES main.shop.silver_orders")[1])["delta.minWriterVersion"] == "2"


def test_grants_are_those_that_were_given(box: SandboxBox) -> None:
    columns, found = rows(box, "SHOW GRANTS ON SCHEMA main.shop")
    assert columns[:2] == ["Principal", "ActionType"]
    assert [row[:2] for row in found] == [["you@example.com", "SELECT"], ["you@example.com", "USE SCHEMA"]]
    assert rows(box, "SHOW GRANTS ON CATALOG main")[1] == []


def test_a_table_holds_no_row_and_any_other_statement_ends_without_one(box: SandboxBox) -> None:
    assert rows(box, "SELECT MIN(order_date), MAX(order_date) FROM main.shop.silver_orders")[1] == [["", ""]]
    assert rows(box, "SELECT 1")[1] == []


def test_the_stopped_warehouse_runs_after_a_statement(box: SandboxBox) -> None:
    ask(box, "SELECT 1")
    assert box.get("/api/2.0/sql/warehouses")["warehouses"][0]["state"] == "RUNNING"
