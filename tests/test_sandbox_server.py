"""The sandbox behaves like a workspace over HTTP: who may speak to it, what it keeps, what it refuses.
No time is measured here."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_fixture import SandboxBox, running_sandbox, sandbox_box

__all__ = ["sandbox_box"]
HOME = "/Workspace/Users/you@example.com"


@pytest.fixture
def box(sandbox_box: SandboxBox) -> SandboxBox:
    sandbox_box.control("POST", "reset")
    return sandbox_box


def import_file(box: SandboxBox, path: str, content: bytes, overwrite: bool = False) -> int:
    flag = "true" if overwrite else "false"
    place = f"/api/2.0/workspace-files/import-file/{quote(path, safe='')}?overwrite={flag}"
    return box.call("POST", place, raw=content).status


class TestGate:
    def test_first_line_names_a_loopback_host_and_a_token_that_works(self, box: SandboxBox) -> None:
        assert urlsplit(box.host).hostname == "127.0.0.1"
        assert box.get("/api/2.0/preview/scim/v2/Me")["userName"] == "you@example.com"

    def test_two_sandboxes_have_different_tokens(self, box: SandboxBox) -> None:
        with running_sandbox() as other:
            assert other.token != box.token

    def test_wrong_token_is_403_and_no_token_is_401(self, box: SandboxBox) -> None:
        assert box.call("GET", "/api/2.2/jobs/list", token="dapi-wrong").status == 403
        reply = box.call("GET", "/api/2.2/jobs/list", headers={"Authorization": ""})
        assert (reply.status, reply.body["error_code"]) == (401, "UNAUTHENTICATED")

    def test_control_needs_the_token_too(self, box: SandboxBox) -> None:
        assert box.call("POST", "/sandbox/reset", {}, token="wrong").status == 403

    def test_well_known_config_needs_no_token_and_its_workspace_id_is_text(self, box: SandboxBox) -> None:
        reply = box.call("GET", "/.well-known/databricks-config", headers={"Authorization": ""})
        assert reply.body["workspace_id"] == "900800700600"

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
    def test_foreign_host_header_is_refused(self, box: SandboxBox, host: str) -> None:
        assert box.call("GET", "/api/2.0/preview/scim/v2/Me", headers={"Host": host}).status == 421

    def test_every_answer_names_the_workspace(self, box: SandboxBox) -> None:
        assert box.call("GET", "/api/2.0/preview/scim/v2/Me").headers["x-databricks-org-id"] == "900800700600"

    @pytest.mark.parametrize("call", [("GET", "/api/2.0/nothing/here"), ("PATCH", "/api/2.2/jobs/list"), ("GET", "/")])
    def test_unknown_route_is_endpoint_not_found(self, box: SandboxBox, call: tuple[str, str]) -> None:
        reply = box.call(*call)
        assert (reply.status, reply.body["error_code"]) == (404, "ENDPOINT_NOT_FOUND")

    def test_connection_is_kept_alive(self, box: SandboxBox) -> None:
        place = urlsplit(box.host)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        ports = set()
        for _ in range(3):
            connection.request("GET", "/api/2.0/preview/scim/v2/Me", headers={"Authorization": f"Bearer {box.token}"})
            connection.getresponse().read()
            ports.add(connection.sock.getsockname()[1])
        connection.close()
        assert len(ports) == 1

    def test_stdout_holds_one_line_and_end_of_stdin_stops_it(self) -> None:
        command = [sys.executable, "-m", "dbops_tui.sandbox", "serve", "--until-stdin-closes"]
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
        lines = done.stdout.splitlines()
        assert (done.returncode, len(lines)) == (0, 1)
        assert set(json.loads(lines[0])) == {"host", "token", "pid"}

    def test_port_in_use_is_a_clear_error(self, box: SandboxBox) -> None:
        command = [sys.executable, "-m", "dbops_tui.sandbox", "serve", "--port", str(urlsplit(box.host).port)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "cannot listen on 127.0.0.1" in done.stderr


class TestFiles:
    def test_file_in_a_missing_folder_is_404_until_the_folder_is_made(self, box: SandboxBox) -> None:
        path = f"{HOME}/.bundle/x/state/deploy.lock"
        assert import_file(box, path, b"{}") == 404
        box.post("/api/2.0/workspace/mkdirs", {"path": f"{HOME}/.bundle/x/state"})
        assert import_file(box, path, b"{}") == 200

    def test_existing_file_is_409_without_overwrite(self, box: SandboxBox) -> None:
        assert [import_file(box, f"{HOME}/a.txt", b"1"), import_file(box, f"{HOME}/a.txt", b"2")] == [200, 409]
        assert import_file(box, f"{HOME}/a.txt", b"3", overwrite=True) == 200
        assert box.call("GET", f"/api/2.0/workspace-files{HOME}/a.txt").body == b"3"

    def test_names_with_blanks_percent_and_umlauts_arrive_whole(self, box: SandboxBox) -> None:
        for name in ("a b%20c.txt", "über/ß.txt", "100%.txt", "x?y#z.txt"):
            box.post("/api/2.0/workspace/mkdirs", {"path": f"{HOME}/{name}".rpartition("/")[0]})
            assert import_file(box, f"{HOME}/{name}", name.encode()) == 200
            status = box.get("/api/2.0/workspace/get-status", path=f"{HOME}/{name}")
            assert status["path"] == f"{HOME}/{name}"

    @pytest.mark.parametrize(
        ("name", "content", "stored", "language"),
        [
            ("nb.py", b"# Databricks notebook source\nx = 1\n", "nb", "PYTHON"),
            ("q.sql", b"-- Databricks notebook source\nselect 1", "q", "SQL"),
            ("j.ipynb", b'{"cells": []}', "j", "PYTHON"),
        ],
    )
    def test_notebook_is_stored_without_extension(
        self, box: SandboxBox, name: str, content: bytes, stored: str, language: str
    ) -> None:
        assert import_file(box, f"{HOME}/{name}", content) == 200
        status = box.get("/api/2.0/workspace/get-status", path=f"{HOME}/{stored}")
        assert (status["object_type"], status["language"]) == ("NOTEBOOK", language)
        assert box.call("GET", "/api/2.0/workspace/get-status", path=f"{HOME}/{name}").status == 404

    def test_plain_python_file_keeps_its_extension(self, box: SandboxBox) -> None:
        import_file(box, f"{HOME}/lib.py", b"x = 1\n")
        assert box.get("/api/2.0/workspace/get-status", path=f"{HOME}/lib.py")["object_type"] == "FILE"

    def test_path_with_and_without_workspace_prefix_is_the_same_object(self, box: SandboxBox) -> None:
        import_file(box, f"{HOME}/one.txt", b"1")
        ids = {
            box.get("/api/2.0/workspace/get-status", path=path)["object_id"]
            for path in (f"{HOME}/one.txt", "/Users/you@example.com/one.txt", f"/{HOME}/one.txt")
        }
        assert len(ids) == 1

    @pytest.mark.parametrize(
        ("asked", "shown"),
        [
            (HOME, HOME),
            (f"/{HOME}", "/Users/you@example.com"),
            ("/Users/you@example.com/", "/Users/you@example.com"),
            ("/Workspace", "/Workspace"),
            ("/", "/"),
        ],
    )
    def test_path_is_told_below_the_mount_that_was_asked_for(self, box: SandboxBox, asked: str, shown: str) -> None:
        assert box.get("/api/2.0/workspace/get-status", path=asked)["path"] == shown

    def test_folder_that_is_not_empty_goes_only_recursively(self, box: SandboxBox) -> None:
        box.post("/api/2.0/workspace/mkdirs", {"path": f"{HOME}/d/e"})
        reply = box.call("POST", "/api/2.0/workspace/delete", {"path": f"{HOME}/d"})
        assert (reply.status, reply.body["error_code"]) == (400, "DIRECTORY_NOT_EMPTY")
        box.post("/api/2.0/workspace/delete", {"path": f"{HOME}/d", "recursive": True})
        reply = box.call("GET", "/api/2.0/workspace/get-status", path=f"{HOME}/d/e")
        assert reply.body == {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Path ({HOME}/d/e) doesn't exist."}

    def test_export_gives_base64_or_the_raw_bytes(self, box: SandboxBox) -> None:
        import_file(box, f"{HOME}/raw.bin", b"\x00\xff")
        reply = box.get("/api/2.0/workspace/export", path=f"{HOME}/raw.bin")
        assert base64.b64decode(reply["content"]) == b"\x00\xff"
        raw = box.call("GET", "/api/2.0/workspace/export", path=f"{HOME}/raw.bin", direct_download="true")
        assert raw.body == b"\x00\xff"

    def test_listing_shows_one_level(self, box: SandboxBox) -> None:
        box.post("/api/2.0/workspace/mkdirs", {"path": f"{HOME}/top/deep"})
        for folder in (HOME, HOME.removeprefix("/Workspace")):
            paths = [item["path"] for item in box.get("/api/2.0/workspace/list", path=folder)["objects"]]
            assert paths == [f"{folder}/top"]

    def test_path_that_climbs_is_refused(self, box: SandboxBox) -> None:
        assert box.call("GET", "/api/2.0/workspace/get-status", path=f"{HOME}/../../etc").status == 400


class TestPipelines:
    def test_spec_is_echoed_with_id_and_storage(self, box: SandboxBox) -> None:
        made = box.post("/api/2.0/pipelines", {"name": "p", "libraries": [{"file": {"path": "/x.py"}}]})["pipeline_id"]
        got = box.get(f"/api/2.0/pipelines/{made}")
        assert got["state"] == "IDLE"
        assert got["spec"] == {
            "name": "p",
            "libraries": [{"file": {"path": "/x.py"}}],
            "id": made,
            "storage": f"dbfs:/pipelines/{made}",
        }

    def test_name_in_use_is_409(self, box: SandboxBox) -> None:
        box.post("/api/2.0/pipelines", {"name": "same", "catalog": "main"})
        assert box.call("POST", "/api/2.0/pipelines", {"name": "same", "catalog": "main"}).status == 409

    def test_listing_pages_and_filters_by_name(self, box: SandboxBox) -> None:
        for number in range(7):
            box.post("/api/2.0/pipelines", {"name": f"etl {number}", "catalog": "main"})
        names, token = [], None
        while True:
            page = box.get("/api/2.0/pipelines", max_results=3, **({"page_token": token} if token else {}))
            names += [item["name"] for item in page["statuses"]]
            token = page.get("next_page_token")
            if not token:
                break
        assert names == [f"etl {number}" for number in range(7)]
        assert len(box.get("/api/2.0/pipelines", filter="name LIKE '%l 3'")["statuses"]) == 1
        assert box.call("GET", "/api/2.0/pipelines", filter="state = 'x'").status == 400

    def test_missing_pipeline_is_404_with_the_known_text(self, box: SandboxBox) -> None:
        reply = box.call("GET", "/api/2.0/pipelines/nope")
        assert (reply.status, reply.body["message"]) == (404, "The specified pipeline nope was not found.")


class TestPermissions:
    def test_job_needs_exactly_one_owner(self, box: SandboxBox) -> None:
        job = box.post("/api/2.2/jobs/create", {"name": "j"})["job_id"]
        acl = [{"group_name": "users", "permission_level": "CAN_VIEW"}]
        reply = box.call("PUT", f"/api/2.0/permissions/jobs/{job}", {"access_control_list": acl})
        assert reply.body["message"] == "The job must have exactly one owner."
        acl.append({"user_name": "you@example.com", "permission_level": "IS_OWNER"})
        assert box.call("PUT", f"/api/2.0/permissions/jobs/{job}", {"access_control_list": acl}).status == 200


class TestHostileInput:
    BODIES = (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"a":' * 5000,
        b'{"name": "\\ud800"}',
        b'{"x": NaN}',
        b'{"job_id": 1e999}',
    )
    PLACES = (
        "/api/2.2/jobs/create",
        "/api/2.2/jobs/reset",
        "/api/2.0/pipelines",
        "/api/2.0/workspace/import",
        "/api/2.1/unity-catalog/schemas",
        "/api/2.0/lakeview/dashboards",
        "/sandbox/faults",
    )

    @pytest.mark.parametrize("place", PLACES)
    def test_broken_bodies_never_give_a_500(self, box: SandboxBox, place: str) -> None:
        statuses = [box.call("POST", place, raw=body).status for body in self.BODIES]
        assert all(status < 500 for status in statuses), statuses
        assert box.call("GET", "/api/2.0/preview/scim/v2/Me").status == 200

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )
    names = st.sampled_from(
        [
            "name",
            "tasks",
            "job_clusters",
            "task_key",
            "depends_on",
            "job_id",
            "new_settings",
            "path",
            "content",
            "schedule",
            "parameters",
            "environments",
            "for_each_task",
            "notebook_task",
            "changes",
            "display_name",
            "access_control_list",
            "catalog_name",
            "serialized_dashboard",
            "trigger",
            "git_source",
            "libraries",
        ]
    )

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(place=st.sampled_from(PLACES[:-1]), body=st.dictionaries(names, json_values, max_size=4))
    def test_wrong_types_never_give_a_500(self, sandbox_box: SandboxBox, place: str, body: dict[str, object]) -> None:
        reply = sandbox_box.call("POST", place, body)
        assert reply.status < 500, (place, body, reply)

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        task=st.dictionaries(
            names | st.sampled_from(["run_job_task", "new_cluster", "libraries"]), json_values, max_size=4
        )
    )
    def test_strange_tasks_never_give_a_500(self, sandbox_box: SandboxBox, task: dict[str, object]) -> None:
        reply = sandbox_box.call("POST", "/api/2.2/jobs/create", {"tasks": [{"task_key": "t", **task}]})
        assert reply.status < 500, (task, reply)
