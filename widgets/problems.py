"""What stands in the way, where the diagnosis would be: a broken bundle, no CLI, nobody signed in. And what to do.

Never hides the last good state; it stands beside it.
"""

from __future__ import annotations

from ..core.bundle import Bundle, BundleProblem
from ..core.state import Identity
from .glyphs import Glyphs
from .page import TextLine
from .spans import Span, paragraphs, span

INSTALL = (
    ("macOS, Linux", "brew tap databricks/tap && brew install databricks"),
    ("Linux, no brew", "curl -fsSL https://raw.githubusercontent.com/databricks/setup-cli/main/install.sh | sh"),
    ("Windows", "winget install Databricks.DatabricksCLI"),
    ("elsewhere", "https://docs.databricks.com/dev-tools/cli/install"),
)


def bundle_lines(bundle: Bundle | None, note: str, glyphs: Glyphs) -> list[TextLine]:
    """What is wrong with the YAML, each problem with its place; empty where nothing is."""
    problems = bundle.problems if bundle else ()
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors and not note:
        return []
    head = "The bundle cannot be read as it is now." if errors or note else ""
    lines = [TextLine(((f"{glyphs.failed} ", "error"), (head, "error+b")))]
    if note and not errors:
        lines.append(TextLine((span(note),)))
    for problem in problems[:20]:
        lines += _problem(problem)
    if bundle is not None and bundle.resources:
        lines += [TextLine(), TextLine((("The last good version stays on show; saving the file is enough.", "muted"),))]
    return lines


def _problem(problem: BundleProblem) -> list[TextLine]:
    role = "error" if problem.severity == "error" else "warn"
    head: list[Span] = []
    key = ""
    if problem.place is not None:
        place = f"{problem.place.file}:{problem.place.line}"
        key = f"place:{place}"
        head.append(span(place + "  ", "accent"))
    head.append(span(problem.summary, role))
    lines = [TextLine(tuple(head), key=key, indent=2)]
    if problem.detail:
        lines += [TextLine((("  ", ""), *line), indent=2) for line in paragraphs(problem.detail, "muted", limit=8)]
    return lines


def cli_lines(problem: str, version: str, glyphs: Glyphs) -> list[TextLine]:
    """That there is no CLI, or one too old, what to install, and what works without it."""
    if not problem:
        return []
    lines = [
        TextLine(((f"{glyphs.partly} ", "warn"), span(problem, "warn+b"))),
        TextLine((("Deploys and runs need the databricks CLI, 0.278 or newer. Watching goes on without it.", ""),)),
        TextLine(),
    ]
    for where, command in INSTALL:
        lines.append(TextLine(((f"{where:<16}", "muted"), (command, "accent")), key=f"text:{command}", indent=16))
    lines.append(TextLine((("It is looked for on PATH; DATABRICKS_CLI_PATH names another place.", "muted"),)))
    if version:
        lines.append(TextLine((span(f"found: {version}", "muted"),)))
    return lines


def identity_lines(identity: Identity, signed_out: bool, glyphs: Glyphs) -> list[TextLine]:
    """Why nothing may be changed yet, and the profiles that fit."""
    if not identity.problem and not signed_out:
        return []
    why = identity.problem or "The sign-in has run out. What is on show stays; nothing is lost."
    lines = [TextLine(((f"{glyphs.partly} ", "warn"), span(why, "warn+b")), indent=2)]
    if identity.candidates:
        lines.append(TextLine((("Profiles that fit; none is chosen for you. Press i to choose:", ""),)))
        lines += [TextLine((("  ", ""), span(name, "accent"))) for name in identity.candidates]
    else:
        lines.append(TextLine((("Press i to sign in.", ""),)))
    return lines
