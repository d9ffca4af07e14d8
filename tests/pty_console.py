"""The console on a hand-made State for the tests in a pseudo-terminal: `pty_console.py STATE ROOT`.

Never part of a test run by itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import fake_states
from dbops_tui.core.state import CliLine
from dbops_tui.tui.app import ConsoleApp, Options

PAYLOAD = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\x1bc\u202e[/][b]x\x1bP+q\x1b\\\x1b]8;;https://evil.example\x1b\\y"


def main(name: str, root: Path) -> int:
    if name == "poisoned":
        base = fake_states.failed(root)
        assert base.run is not None
        assert base.bundle is not None
        tasks = tuple(replace(task, task_key=task.task_key + PAYLOAD) for task in base.run.tasks)
        state = replace(
            base,
            bundle=replace(base.bundle, name=PAYLOAD + "END-OF-HEADER"),
            run=replace(base.run, tasks=tasks, name=PAYLOAD),
            cli_lines=(CliLine("err", PAYLOAD),),
            diagnoses=(replace(fake_states.diagnosis(), title=PAYLOAD, explanation=PAYLOAD),),
        )
    else:
        state = fake_states.ALL[name](root)
    clock = os.environ.get("DBOPS_TEST_CLOCK") != "off"
    app = ConsoleApp(fake_states.FakeEngine(state), state, Options(clock=clock))
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
