"""Time from the start of the process to the first content on the terminal, beside a bare Textual app, in turn.

Never asserts: prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from terminal import Terminal, environment

HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("hello-first-paint")
Hello().run()
"""


def sample(folder: Path) -> None:
    """A bundle like the sample: an orchestrator with three jobs, a pipeline, a dashboard, a schema."""
    jobs = ("bronze_setup", "silver_refresh", "gold_merge")
    lines = ["bundle:", "  name: startup_sample", "include:", "  - resources/*.yml", "targets:", "  dev:"]
    lines += ["    default: true", "    mode: development", ""]
    (folder / "databricks.yml").write_text("\n".join(lines))
    (folder / "resources").mkdir()
    for name in jobs:
        write_job(folder / "resources" / f"{name}.yml", [name])
    (folder / "resources" / "more.yml").write_text(
        "resources:\n  pipelines:\n    silver_dlt:\n      name: silver_dlt\n      libraries:\n"
        "        - file:\n            path: ../src/orders.sql\n"
        "  dashboards:\n    sales:\n      display_name: Sales\n      file_path: ../src/sales.lvdash.json\n"
    )


def large(folder: Path, count: int = 300) -> None:
    """A bundle of `count` jobs with three tasks each, twenty to a file."""
    head = "bundle:\n  name: startup_300\ninclude:\n  - resources/*.yml\ntargets:\n  dev:\n    default: true\n"
    (folder / "databricks.yml").write_text(head)
    (folder / "resources").mkdir()
    names = [f"job_{number:03}" for number in range(count)]
    for first in range(0, count, 20):
        write_job(folder / "resources" / f"jobs_{first:03}.yml", names[first : first + 20])


def write_job(path: Path, names: list[str]) -> None:
    """One file with jobs of three tasks each."""
    lines = ["resources:", "  jobs:"]
    for name in names:
        lines += [f"    {name}:", f"      name: {name}", "      tasks:"]
        for number in range(3):
            lines += [f"        - task_key: step_{number}", "          notebook_task:"]
            lines += [f"            notebook_path: ../src/{name}_{number}.py", "          max_retries: 1"]
            if number:
                lines += ["          depends_on:", f"            - task_key: step_{number - 1}"]
    path.write_text("\n".join(lines) + "\n")


def paint_ms(command: list[str], wanted: bytes, env: dict[str, str]) -> tuple[float, float]:
    """(ms to the first content, MB resident two seconds later are not waited for: right then)."""
    with Terminal(command, env=env) as terminal:
        took = terminal.until(wanted)
        return took, terminal.rss_mb()


def sdk_is_imported_before_paint(folder: Path) -> bool:
    """Whether the SDK is among the modules that the console needs before it paints."""
    code = (
        "import sys, dbops_tui.tui.cli\n"
        "import dbops_tui.tui.app, dbops_tui.core.bundle_load as b\n"
        "from pathlib import Path\n"
        f"b.load_bundle(Path({str(folder)!r}))\n"
        "print(any(name.split('.')[0] in ('databricks', 'watchfiles', 'starlette') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is started (default: 7)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "hello.py").write_text(HELLO)
        for part in ("sample", "large", "state"):
            (base / part).mkdir()
        sample(base / "sample")
        large(base / "large")
        env = environment(DBOPS_STATE_DIR=str(base / "state"), DATABRICKS_CONFIG_FILE=str(base / "none"))
        console = [sys.executable, "-m", "dbops_tui", "console"]
        programs = {
            "bare Textual app": ([sys.executable, str(base / "hello.py")], b"hello-first-paint"),
            "dbops-tui, sample": ([*console, str(base / "sample")], b"bronze_setup"),
            "dbops-tui, 300 resources": ([*console, str(base / "large")], b"job_000"),
        }
        times: dict[str, list[float]] = {program: [] for program in programs}
        memory: dict[str, float] = {}
        for round_ in range(arguments.rounds + 1):
            for program, (command, wanted) in programs.items():
                took, memory[program] = paint_ms(command, wanted, env)
                if round_:  # the first round only warms the file cache
                    times[program].append(took)
        early = sdk_is_imported_before_paint(base / "sample")
    bare = statistics.median(times["bare Textual app"])
    print(f"{'program':28} {'median ms':>10} {'min':>8} {'max':>8} {'ratio':>7} {'MB':>6}")
    for program, values in times.items():
        median = statistics.median(values)
        print(
            f"{program:28} {median:10.0f} {min(values):8.0f} {max(values):8.0f} {median / bare:7.2f} "
            f"{memory[program]:6.0f}"
        )
    figures = {
        "ratio_sample": round(statistics.median(times["dbops-tui, sample"]) / bare, 2),
        "ratio_300": round(statistics.median(times["dbops-tui, 300 resources"]) / bare, 2),
        "sdk_before_paint": early,
        "rss_mb": round(memory["dbops-tui, 300 resources"], 1),
    }
    print(json.dumps({"bench": "startup", "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
