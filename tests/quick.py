"""The program and the sandbox without their start: a server that has one of them loaded forks for each call.
It holds no test and no expectation; each call is a process of its own that dies with the one that asked for it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

# What is called of each part, and what is loaded for it beforehand.
PARTS = {
    "dbops_tui.sandbox": (
        "dbops_tui.sandbox.__main__",
        ("dbops_tui.sandbox.standin", "dbops_tui.sandbox.server", "dbops_tui.sandbox.scenario"),
    ),
    "dbops_tui": (
        "dbops_tui.tui.cli",
        (
            *("dbops_tui.core.engine", "databricks.sdk", "dbops_tui.tui.cmd_resources", "dbops_tui.tui.cmd_watch"),
            *("dbops_tui.tui.cmd_heal", "dbops_tui.tui.cmd_diagnose", "dbops_tui.tui.cmd_matrix"),
            *("dbops_tui.tui.cmd_doctor", "dbops_tui.tui.cmd_history", "dbops_tui.tui.cmd_report"),
        ),
    ),
}

# What a test starts: hands over its words, environment, folder and streams, and ends as the call ends.
CLIENT = """import _socket, os, sys
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({address!r})
words = [os.getcwd(), str(len(sys.argv) - 1), *sys.argv[1:], *(f"{{k}}={{v}}" for k, v in os.environ.items())]
data = "\\0".join(words).encode("utf-8", "surrogateescape")
streams = b"".join(n.to_bytes(4, sys.byteorder) for n in (0, 1, 2))
server.sendmsg([len(data).to_bytes(8, "little")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(data)
answer = server.recv(1)
os._exit(answer[0] if answer else 137)
"""


@cache
def quick(part: str) -> tuple[str, ...]:
    """The words that run `part` as `python -m PART` would, once the words of the call stand behind them.

    The process that is seen is not the one that works: for a test that sends signals, start the real one.
    """
    if not hasattr(os, "fork"):
        return (sys.executable, "-m", part)
    folder = Path(_folder().name)
    address = folder / part  # the address of a socket has to be short
    # It ends when its standard input is closed, at the latest with us.
    server = subprocess.Popen(
        [sys.executable, __file__, str(address), part], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    _servers.append(server)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    client = folder / f"{part}.py"
    client.write_text(CLIENT.format(address=str(address)))
    return (sys.executable, "-ISE", str(client))


_servers: list[subprocess.Popen[bytes]] = []


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="quick")


def quick_cli(folder: Path) -> Path:
    """The stand-in CLI as a `databricks` in `folder`."""
    program = folder / "databricks"
    words = " ".join(f'"{word}"' for word in quick("dbops_tui.sandbox"))
    program.write_text(f'#!/bin/sh\nexec {words} cli "$@"\n')
    program.chmod(0o755)
    return program


def serve(address: str, part: str) -> None:
    """Answer calls until the one who started us is gone."""
    module, loaded = PARTS[part]
    main = import_module(module).main
    for name in loaded:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        call, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _answer(call, main)
        call.close()


def _answer(call: socket.socket, main: Callable[[list[str]], int | None]) -> None:
    status = 137
    try:
        head, streams, _, _ = socket.recv_fds(call, 8, 3)
        with call.makefile("rb") as stream:
            data = stream.read(int.from_bytes(head, "little"))
        if len(data) != int.from_bytes(head, "little") or not head:
            return  # it was killed before it had said what it wants
        folder, count, *words = data.decode("utf-8", "surrogateescape").split("\0")
        os.setsid()
        for number, handle in enumerate(streams):
            os.dup2(handle, number)
            os.close(handle)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(word.partition("=")[::2] for word in words[int(count) :])
        _die_with(call)
        status = _run(main, words[: int(count)])
        sys.stdout.flush()
        sys.stderr.flush()
        call.sendall(bytes([status & 255]))
    except OSError:
        pass
    finally:
        os._exit(status)


def _run(main: Callable[[list[str]], int | None], words: list[str]) -> int:
    import traceback

    try:
        return int(main(words) or 0)
    except SystemExit as ended:
        if isinstance(ended.code, (int, type(None))):
            return int(ended.code or 0)
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def _die_with(call: socket.socket) -> None:
    """End when the program that asked is gone: nothing goes on behind a CLI that was killed."""
    import threading

    def watch() -> None:
        if not call.recv(1):
            os._exit(137)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    serve(*sys.argv[1:])
