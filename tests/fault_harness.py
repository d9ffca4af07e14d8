"""Small bundles with a defect, loops on them against one sandbox that is emptied in between, and what is counted after.
It holds no test and no expectation.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_world import SCALE, Sample
from quick import quick_cli
from sandbox_fixture import SandboxBox, running_sandbox

HEAD = """bundle:
  name: retail_lakehouse
include: [resources/*.yml]
targets:
  dev: {mode: development, default: true}
"""
JOB = """resources:
  jobs:
    nightly:
      name: nightly
      tasks:
        - task_key: customers
          notebook_task: {notebook_path: ../src/silver/customers.py}
        - task_key: orders
          depends_on: [{task_key: customers}]
          notebook_task: {notebook_path: ../src/silver/orders.py}
"""
PIPELINE = """resources:
  pipelines:
    live:
      name: live
      catalog: main
      schema: shop
      serverless: true
      libraries:
        - glob: {include: ../src/silver/flows/**}
"""
NOTEBOOK = """# Databricks notebook source
import json

rows = spark.read.table("orders").select("customer_id", "COLUMN")
rows.write.mode("overwrite").saveAsTable("clean")
dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "rows": 7}))
"""
FLOW = """import dlt


@dlt.table
def clean_orders():
    return spark.readStream.table("orders").select("customer_id", "COLUMN")
"""
FIXER = """import json, pathlib, sys
told = json.load(sys.stdin)
for path in pathlib.Path(told["bundle"]["root"]).rglob("orders.py"):
    text = path.read_text()
    if "regionn" in text:
        path.write_text(text.replace("regionn", "region"))
"""
MENDED = {
    "src/silver/orders.py": NOTEBOOK.replace("COLUMN", "region"),
    "src/silver/flows/orders.py": FLOW.replace("COLUMN", "region"),
}
JOBS, PIPELINES = ("jobs.nightly",), ("pipelines.live",)


def bundle_of(refs: tuple[str, ...], *, healthy: bool = False) -> dict[str, str]:
    """The files of a bundle with these resources, each with a defect that surfaces when it runs."""
    files = {"databricks.yml": HEAD}
    if "jobs.nightly" in refs:
        files["resources/nightly.yml"] = JOB
        files["src/silver/customers.py"] = NOTEBOOK.replace("COLUMN", "country")
        files["src/silver/orders.py"] = NOTEBOOK.replace("COLUMN", "regionn")
    if "pipelines.live" in refs:
        files["resources/live.yml"] = PIPELINE
        files["src/silver/flows/orders.py"] = FLOW.replace("COLUMN", "regionn")
    return files | {name: text for name, text in MENDED.items() if healthy and name in files}


@dataclass
class Yard:
    """One sandbox and one CLI for many loops; each `place` is a fresh bundle in an empty workspace."""

    box: SandboxBox
    cli: Path
    folder: Path
    count: int = 0

    @property
    def fixer(self) -> str:
        """A program that mends every defect there is."""
        path = self.folder / "fixer.py"
        path.write_text(FIXER)
        return f"{sys.executable} -ISE {path}"

    def place(self, refs: tuple[str, ...] = JOBS, *, healthy: bool = False) -> Sample:
        """Empty the workspace, and a bundle that was never deployed."""
        keys = [ref.partition(".")[2] for ref in refs]
        return self.lay(bundle_of(refs, healthy=healthy), keys)

    def lay(self, files: dict[str, str], keys: list[str] | None = None) -> Sample:
        """As `place`, with these files."""
        self.box.control("POST", "reset")
        self.count += 1
        home = self.folder / f"place{self.count}"
        for name, text in files.items():
            path = home / "bundle" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        env = {
            **self.box.env(home),
            "DATABRICKS_CLI_PATH": str(self.cli),
            "DBOPS_STATE_DIR": str(home / "state"),
        }
        return Sample(self.box, home / "bundle", env, {"run": keys or [], "fixes": []})

    def forget(self, place: Sample) -> None:
        """Remove the folder of a loop that ended as it should."""
        shutil.rmtree(place.root.parent, ignore_errors=True)


@contextmanager
def open_yard(folder: Path, *, scenario: str = "retail") -> Iterator[Yard]:
    """A sandbox whose time runs fast, and a CLI that answers at once."""
    with running_sandbox(time_scale=SCALE, scenario=scenario) as box:
        yield Yard(box, quick_cli(folder), folder)


@dataclass
class Counts:
    """What a workspace saw: starts, repairs, updates and whole deploys that it carried out, and the calls."""

    runs: int = 0
    repairs: int = 0
    updates: int = 0
    deploys: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)


def counted(box: SandboxBox) -> Counts:
    """What the workspace holds now: only what was carried out, whatever was answered."""
    calls = box.calls()
    found = Counts(calls=calls, updates=len(box.control("GET", "state")["updates"]))
    for run in box.get("/api/2.2/jobs/runs/list", limit=24).get("runs", ()):
        found.runs += 1
        whole = box.get("/api/2.2/jobs/runs/get", run_id=run["run_id"], include_history="true")
        found.repairs += sum(item.get("type") == "REPAIR" for item in whole.get("repair_history") or ())
    # The last thing that a whole deploy writes.
    found.deploys = sum(
        "import-file" in call["path"] and call["path"].endswith("metadata.json") and call["status"] == 200
        for call in calls
    )
    return found
