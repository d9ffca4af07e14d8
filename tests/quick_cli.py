"""The stand-in CLI without its start: a server that has it loaded forks for each call of a small `databricks` program.
It holds no test and no expectation, and the call is a process of its own that dies with the program that asked for it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the product calls: hands over its words, environment, folder and streams, and ends as the call ends.
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


@contextmanager
def quick_cli(folder: Path) -> Iterator[Path]:
    """A `databricks` below `folder` that answers at once; gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="cli") as short:  # the address of a socket has to be short
        address = str(Path(short) / "s")
        server = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            client = folder / "quick_cli_client.py"
            client.write_text(CLIENT.format(address=address))
            program = folder / "databricks"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISE "{client}" "$@"\n')
            program.chmod(0o755)
            yield program
        finally:
            server.kill()
            server.wait()


def serve(address: str) -> None:
    """Answer calls until the one who started us is gone."""
    from dbops_tui.sandbox import standin  # loaded once, for all calls

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        call, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(call, standin)
        call.close()


def _answer(call: socket.socket, standin: object) -> None:
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
        status = _main(standin, words[: int(count)])
        sys.stdout.flush()
        sys.stderr.flush()
        call.sendall(bytes([status & 255]))
    except OSError:
        pass
    finally:
        os._exit(status)


def _main(standin: object, words: list[str]) -> int:
    import traceback

    try:
        return int(standin.main(words) or 0)  # type: ignore[attr-defined]
    except SystemExit as ended:
        return int(ended.code or 0) if isinstance(ended.code, (int, type(None))) else 1
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
    serve(sys.argv[1])
