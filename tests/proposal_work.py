"""Small bundles on disk and failures in them, explained and mended, for tests of proposals.
It holds no test and no expectation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.failures import Found, explain
from dbops_tui.core.locating import Clue
from dbops_tui.core.patches import render
from dbops_tui.matrix.model import Diagnosis, Failure, Fix

HEAD = """\
bundle:
  name: shop

include:
  - resources/*.yml

variables:
  catalog:
    default: main

targets:
  dev:
    mode: development
    default: true
"""


@dataclass
class Shop:
    """A bundle in a folder. `put` writes a file, `why` explains a failure, `mend` applies a fix."""

    root: Path

    def put(self, name: str, text: str) -> Shop:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def why(
        self, text: str, *, ref: str = "bundle", task: str = "", kind: str = "", path: str = "", **more: Any
    ) -> Diagnosis:
        """The first diagnosis of a failure. `ref` bundle: of the deploy."""
        source = kind or ("cli_stderr" if ref == "bundle" else "job_task")
        result = "FAILED" if source == "job_task" else ""
        failure = Failure(text=text, source_kind=source, resource_key=ref, task_key=task, result_state=result)
        found = Found(failure, ref, "1", task, clue=Clue(source_path=path))
        diagnoses = explain([found], load_bundle(self.root, "dev", {}), **more)[0].diagnoses
        assert diagnoses, text
        return diagnoses[0]

    def mend(self, fix: Fix) -> list[str]:
        """Apply the fix; returns its files."""
        assert fix.patch is not None, fix
        changed = render(self.root, fix.patch)
        for file, (_, after) in changed.items():
            (self.root / file).write_bytes(after)
        return sorted(changed)


def shop(root: Path, **files: str) -> Shop:
    """A bundle with the usual head; `files` by their name with `__` for `/` and `_dot_` for `.`."""
    made = Shop(root).put("databricks.yml", HEAD)
    for name, text in files.items():
        made.put(name.replace("__", "/").replace("_dot_", "."), text)
    return made


def edits(diagnosis: Diagnosis) -> list[Fix]:
    """The fixes that are exact edits."""
    return [fix for fix in diagnosis.fixes if fix.patch is not None]
