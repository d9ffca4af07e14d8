"""The demo's world: the simulated workspace as a process, a copy of the sample bundle, a clean environment for both.

Never touches the user's own profiles, tokens or caches, and never hands the demo's token to any other host.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

# What a user's shell may carry and the demo must not: each of these could lead a client to a real workspace.
_DROPPED = ("DATABRICKS_", "ARM_", "BUNDLE_VAR_", "GOOGLE_CREDENTIALS")


@dataclass(frozen=True, slots=True)
class PlannedFix:
    """One edit the demo's person makes: in `file`, `find` becomes `replace`; `after` is deploy or run."""

    after: str
    file: str
    find: str
    replace: str
    why: str


@dataclass
class DemoWorld:
    """Start with `with DemoWorld.open(...) as world:`; the simulated workspace ends with it."""

    folder: Path
    bundle_dir: Path
    host: str
    token: str
    target: str
    run: tuple[str, ...]
    fixes: tuple[PlannedFix, ...]
    title: str
    time_scale: float
    env: dict[str, str]
    cli: str
    real_cli: bool
    _server: subprocess.Popen[str] = field(repr=False)

    @classmethod
    def open(cls, scenario: str, *, time_scale: float | None, into: str | None = None) -> DemoWorld:
        """Start the workspace and copy the bundle. Raises DemoError with what went wrong."""
        folder = Path(into).resolve() if into else Path(tempfile.mkdtemp(prefix="dbops-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        bundle_dir = folder / "bundle"
        if bundle_dir.exists():
            raise DemoError(f"{bundle_dir} is there already: name a new folder with --into")
        sample = _scenario(scenario, bundle_dir)
        time_scale = time_scale or float(sample.get("time_scale", 20.0))
        server, hello = _serve(scenario, time_scale, folder)
        env = _clean_environment(folder, hello["host"], hello["token"])
        real = shutil.which("databricks", path=os.environ.get("PATH")) or ""
        named = os.environ.get("DATABRICKS_CLI_PATH", "")
        cli = named or (real if real and _is_current(real) else "")
        real_cli = bool(cli)
        if not cli:
            cli = _stand_in(folder)
        env["DATABRICKS_CLI_PATH"] = cli
        return cls(
            folder=folder,
            bundle_dir=Path(sample.get("bundle_dir", bundle_dir)),
            host=hello["host"],
            token=hello["token"],
            target=sample.get("target", "dev"),
            run=tuple(sample.get("run", ())),
            fixes=tuple(
                PlannedFix(f.get("after", ""), f["file"], f["find"], f["replace"], f.get("why", ""))
                for f in sample.get("fixes", ())
            ),
            title=sample.get("title", scenario),
            time_scale=time_scale,
            env=env,
            cli=cli,
            real_cli=real_cli,
            _server=server,
        )

    def __enter__(self) -> DemoWorld:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.terminate()
        try:
            self._server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._server.kill()

    def now_ms(self) -> int:
        """What time it is in the simulated workspace, in epoch ms. Raises DemoError."""
        asked = urllib.request.Request(f"{self.host}/sandbox/clock", headers={"Authorization": f"Bearer {self.token}"})
        try:
            # Straight to the loopback address, whatever proxy the shell names.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10) as answer:
                return int(json.load(answer)["now_ms"])
        except (OSError, ValueError, KeyError) as error:
            raise DemoError(f"the simulated workspace does not answer: {error}") from error

    def mend(self, fix: PlannedFix) -> bool:
        """Make one planned edit, as a person in an editor would; False where the text is not there (any more)."""
        path = self.bundle_dir / fix.file
        text = path.read_text(encoding="utf-8")
        if fix.find not in text:
            return False
        path.write_text(text.replace(fix.find, fix.replace), encoding="utf-8")
        return True


class DemoError(Exception):
    """The demo could not be set up; the message says why."""


def _scenario(name: str, into: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dbops_tui.sandbox", "scenario", name, "--into", str(into)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(done.stderr.strip() or f"the scenario {name} could not be copied")
    sample: dict[str, Any] = json.loads(done.stdout)
    return sample


def serve_command(scenario: str, time_scale: float | None, port: int = 0) -> list[str]:
    """The command line of the simulated workspace."""
    words = [sys.executable, "-m", "dbops_tui.sandbox", "serve", "--port", str(port), "--scenario", scenario]
    return words if time_scale is None else [*words, "--time-scale", str(time_scale)]


def _serve(scenario: str, time_scale: float | None, folder: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    log = (folder / "sandbox.log").open("w", encoding="utf-8")
    server = subprocess.Popen(
        # It ends with us, also where we are killed: the pipe closes then.
        [*serve_command(scenario, time_scale), "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # Its own group: a Ctrl-C meant for the console must not take the workspace away first.
        start_new_session=True,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    try:
        hello: dict[str, str] = json.loads(line)
    except ValueError:
        server.terminate()
        raise DemoError(f"the simulated workspace did not start; see {folder / 'sandbox.log'}") from None
    return server, hello


def _clean_environment(folder: Path, host: str, token: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    empty = folder / "databrickscfg"
    empty.write_text("", encoding="utf-8")
    env |= {
        "DATABRICKS_HOST": host,
        "DATABRICKS_TOKEN": token,
        "DATABRICKS_CONFIG_FILE": str(empty),
        "DATABRICKS_CACHE_DIR": str(folder / "cache"),
        "DATABRICKS_CLI_DISABLE_TELEMETRY": "1",
        "DATABRICKS_CLI_DISABLE_UPDATE_CHECK": "true",
        "DATABRICKS_BUNDLE_ENGINE": "direct",
        "DBOPS_STATE_DIR": str(folder / "state"),
        "NO_PROXY": ",".join(filter(None, (env.get("NO_PROXY", ""), "127.0.0.1,localhost"))),
    }
    return env


def _is_current(cli: str) -> bool:
    """Whether it is the CLI that knows bundles, and not the archived one of the same name."""
    try:
        done = subprocess.run([cli, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Databricks CLI v" in done.stdout


def _stand_in(folder: Path) -> str:
    """A `databricks` for the demo where none is installed; it speaks to the simulated workspace only."""
    bin_dir = folder / "bin"
    bin_dir.mkdir(exist_ok=True)
    if os.name == "nt":
        script = bin_dir / "databricks.cmd"
        script.write_text(f'@"{sys.executable}" -m dbops_tui.sandbox cli %*\n', encoding="utf-8")
    else:
        script = bin_dir / "databricks"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dbops_tui.sandbox cli "$@"\n', encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)
