"""The wheel: everything is in it, and a user's own `core`, `tui` and `matrix` are no matter to it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("the build backend cannot be fetched here")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_rows_scenarios_and_types_are_in_the_wheel_and_no_folder_is_named_plainly(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dbops_tui"}
    for wanted in (
        "dbops_tui/py.typed",
        "dbops_tui/matrix/rows/_causes.yaml",
        "dbops_tui/matrix/rows/spark_sql.yaml",
        "dbops_tui/sandbox/scenarios/retail/scenario.yaml",
        "dbops_tui/sandbox/scenarios/retail/bundle/databricks.yml",
    ):
        assert wanted in names
    scenarios = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "sandbox/scenarios").rglob("*") if path.is_file()
    }
    kept = {name for name in scenarios if "__pycache__" not in name and ".databricks" not in name}
    assert {f"dbops_tui/{name}" for name in kept} <= set(names)


def test_installed_it_runs_beside_folders_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    mine = tmp_path / "mine"
    for name in ("core", "tui", "matrix", "widgets", "sandbox"):
        (mine / name).mkdir(parents=True)
        (mine / name / "__init__.py").write_text("raise ImportError('this is somebody else')\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(mine), str(place)))}
    code = "from dbops_tui.tui.cli import main; import dbops_tui; print(dbops_tui.__file__); main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=mine, check=False)
    assert done.returncode == 0, done.stderr
    assert str(place) in done.stdout
    assert "dbops-tui " in done.stdout
