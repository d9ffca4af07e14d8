"""`dbops-tui sandbox`: the simulated workspace alone, in the foreground, until it is interrupted.

Never imports the sandbox: it is a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess

from .demo_world import serve_command


def main(arguments: argparse.Namespace) -> int:
    """Run the simulated workspace; its first line on stdout names host, token and pid."""
    server = subprocess.Popen(serve_command(arguments.scenario, arguments.time_scale, arguments.port))
    try:
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return 0
