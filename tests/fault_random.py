"""What is made by chance, by the thousand: events for the loop's machine, texts that look like markup, hostile bundles.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.events import Problem, to_json
from dbops_tui.core.report import to_markdown
from dbops_tui.core.state import CliLine
from dbops_tui.tui.jsonl import line_of
from dbops_tui.tui.plain import Sentences
from dbops_tui.widgets.spans import cells, crop, fit, inert, span, wrap
from fault_bytes import _record
from fault_cases import Case

# --- the loop's machine ----------------------------------------------------------------------------------------------


def machine(count: int, steps: int) -> Iterator[Case]:
    """Orders of events, legal and not, so many of so many steps: the promises of the loop hold after each, and from
    wherever they lead a world that answers brings it to an end."""
    import test_loop
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    orders = st.lists(test_loop.EVENTS, min_size=steps // 2, max_size=steps)
    promises = test_loop.test_no_order_of_events_breaks_the_promises_of_the_loop
    end = test_loop.test_from_anywhere_a_world_that_answers_brings_the_loop_to_an_end
    for name, test, given_ in (("promises", promises, (orders,)), ("an end", end, (orders, st.booleans()))):
        more = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        plain: Any = test.hypothesis.inner_test  # type: ignore[attr-defined]
        problem = ""
        try:
            more(given(*given_)(plain))()
        except Exception:
            problem = traceback.format_exc()[-600:]
        yield Case("order of events", name, problem, count)


# --- markup ----------------------------------------------------------------------------------------------------------

MARKUP = (
    *("[b]", "[/b]", "[/]", "[/red]", "[bold red on blue]", "[#ff0000]", "[link=https://evil.example]", "[["),
    *("[@click=app.quit]", '[@click="app.bell"]x[/]', "[@click=screen.dismiss(1)]", "[on", "[bold", "]", "[", "[]"),
    *("[INFO]", "[type=x, v={'a[0]'}]", "a[0]", "['x']", "$x", "{a}", "[/@]", "[=]", "[@]", ":smile:", "[reverse]"),
    *("]]", "\\[", "[ ]", "&amp;", "\\\\[b]"),
)
PAINTS = 500  # that are waited for
LINES = 30  # of one picture
LIVE = ("@click", "evil.example")


def markup(chance: random.Random) -> str:
    """A text that looks like markup, with letters in between."""
    parts = [chance.choice(MARKUP) if chance.random() < 0.7 else chance.choice("ab cüß→0") for _ in range(6)]
    return "x" + "".join(parts)[:70] + "y"


def _wrapped(text: str) -> str:
    rows = wrap((span(inert(text)),), 24)
    if any(sum(cells(part) for part, _ in row) > 24 for row in rows):
        return "wider than its room"
    return _lost(text, "".join(part for row in rows for part, _ in row).replace(" ", ""), spaces=False)


def _lost(text: str, shown: str, *, spaces: bool = True) -> str:
    wanted = inert(text) if spaces else inert(text).replace(" ", "")
    return "" if wanted in shown else f"lost in {shown[:200]!r}"


def _sentence(text: str) -> str:
    stream = io.StringIO()
    Sentences(stream).event(Problem("x", text))
    return _lost(text, "".join(stream.getvalue().split()), spaces=False)


# By name: what does not hold of a text that goes this way.
SINKS: Mapping[str, Callable[[str], str]] = {
    "a line": lambda text: _lost(text, inert(text)),
    "a wrapped line": _wrapped,
    "a cropped line": lambda text: "wider than its room" if cells(crop(inert(text), 9)) > 9 else "",
    "columns": lambda text: "wider" if sum(cells(part) for part, _ in fit((span(text), span(text)), 12)) > 12 else "",
    "JSON lines": lambda text: "" if json.loads(line_of(to_json(Problem("x", text))))["message"] == text else "lost",
    "sentences": _sentence,
    "the report": lambda text: "" if to_markdown(_record(text)) else "nothing",
}


async def marked_up(chance: random.Random, count: int) -> AsyncIterator[Case]:
    """So many texts on each way, and as lines of a pane in the console: each is shown as it is, and none is a link."""
    texts = [markup(chance) for _ in range(count)]
    for name, sink in SINKS.items():
        problem = ""
        for text in texts:
            try:
                said = sink(text)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said and not problem:
                problem = f"{text!r}: {said}"
        yield Case("markup", name, problem, count)
    yield Case("markup", "a pane of the console", await _in_console(texts), count)


async def _in_console(texts: list[str]) -> str:
    from dataclasses import replace

    import fake_states
    from snapshot_helper import console, screen_lines

    state = fake_states.base()
    app = console(state)
    async with app.run_test(size=(140, LINES + 40)) as pilot:
        app.go_to_tab("cli")
        for first in range(0, len(texts), LINES):
            some = texts[first : first + LINES]
            app.engine.publish(replace(state, cli_lines=tuple(CliLine("out", text) for text in some)))  # type: ignore[attr-defined]
            while app.state is not app._newest or app._paint_due:
                await pilot.pause(0.005)
            # A screen is painted in its own time: only what it never comes to is wrong.
            missing = some
            for _ in range(PAINTS):
                app.go_to_tab("cli")  # what is news to the console may have opened another
                await pilot.pause(0.01)
                shown = "\n".join(screen_lines(app))
                missing = [text for text in some if inert(text).rstrip() not in shown]
                if not missing:
                    break
            if missing:
                return f"{missing[0]!r} is not shown as it is, but {shown[:4000]}"
            for strip in app.screen._compositor.render_strips():
                for segment in strip:
                    meta = segment.style.meta if segment.style is not None else {}
                    link = segment.style.link if segment.style is not None else None
                    if any(word in f"{meta} {link}" for word in LIVE):
                        return f"{segment.text!r} can be pressed: {meta} {link}"
        return "" if app.return_code is None else "the console ended"


# --- bundles ---------------------------------------------------------------------------------------------------------

GOOD = """bundle: {name: shop}
include: [resources/*.yml]
variables:
  size: {default: 3}
resources:
  jobs:
    nightly:
      name: nightly ${var.size}
      tasks:
        - task_key: work
          notebook_task: {notebook_path: src/work.py}
targets:
  dev: {mode: development, default: true}
"""
MOST_MB = 300.0
BYTES = {
    "zeros": bytes(5_000),
    "UTF-16": GOOD.encode("utf-16"),
    "Latin-1": GOOD.encode() + b"a: \xfc\xdf\n",
    "a BOM": b"\xef\xbb\xbf" + GOOD.encode(),
    "tabs": GOOD.replace("  ", "\t").encode(),
    "empty": b"",
    "one scalar": b"x",
    "a list": b"- x\n",
    "many documents": b"---\na: 1\n" * 2_000,
    "lone CR": GOOD.replace("\n", "\r").encode(),
    "a long line": b"a: " + b"x" * 5_000_000,
    "long digits": b"a: " + b"9" * 100_000 + b"\n",
    "an odd date": b"a: 2026-99-99\n",
}


def hostile_bundles(folder: Path, chance: random.Random, halves: int = 20) -> Iterator[Case]:
    """Bundles that would hang a careless reader, or fill its memory, and files cut off at so many places."""
    before = _peak_mb()
    for number, (name, files) in enumerate((*_bundles(), *_halves(chance, halves))):
        root = folder / f"bundle{number}"
        root.mkdir(parents=True)
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        yield Case("hostile bundle", name, _loaded(root))
    yield Case("hostile bundle", "links and pipes", _loaded(_linked(folder / "linked")))
    grown = _peak_mb() - before
    yield Case("hostile bundle", "memory", f"{grown:.0f} MB" if grown > MOST_MB else "")


def _loaded(root: Path) -> str:
    try:
        bundle = load_bundle(root, "", {})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    placeless = [item.summary for item in bundle.errors if item.place is None or not item.place.file]
    return f"an error without a place: {placeless[0]}" if placeless else ""


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _bundles() -> Iterator[tuple[str, dict[str, str | bytes]]]:
    for depth in (4, 6, 9, 20):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
        yield f"alias bomb of {depth}", {"databricks.yml": GOOD + "\n".join(lines)}
    merges = [f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}'] * 9)}], k{n}: 1}}" for n in range(1, 9)]
    merges.insert(0, "b0: &b0 {k0: 1}")
    yield "merge bomb", {"databricks.yml": GOOD + "\n".join(merges)}
    yield "alias to itself", {"databricks.yml": GOOD + "a: &a [*a]\n"}
    yield "anchor that is not there", {"databricks.yml": GOOD + "a: *nowhere\n"}
    keys = "".join(f"    job_{n}: {{name: x}}\n" for n in range(20_000))
    yield "many keys", {"databricks.yml": "bundle: {name: x}\nresources:\n  jobs:\n" + keys}
    for depth in (50, 1_000, 50_000):
        yield f"nested {depth} deep", {"databricks.yml": GOOD + "a: " + "[" * depth + "]" * depth}
        yield f"mappings {depth} deep", {"databricks.yml": GOOD + "a: " + "{a: " * depth + "1" + "}" * depth}
    yield "includes itself", {"databricks.yml": GOOD.replace("resources/*.yml", "databricks.yml")}
    circle = {"one.yml": "include: [two.yml]\n", "two.yml": "include: [one.yml]\n"}
    yield "includes in a circle", {"databricks.yml": GOOD.replace("resources/*.yml", "one.yml"), **circle}
    for path in ("../../*.yml", "/etc/*.yml", "**/../**/*.yml", "[", "~/*.yml"):
        yield f"include {path}", {"databricks.yml": GOOD.replace("resources/*.yml", f'"{path}"')}
    many = {f"resources/r{n}.yml": f"resources: {{jobs: {{j{n}: {{name: x}}}}}}\n" for n in range(500)}
    yield "many files", {"databricks.yml": GOOD, **many}
    yield "the same key twice", {"databricks.yml": GOOD + "targets: {prod: {}}\n"}
    twice = {"resources/a.yml": "resources: {jobs: {nightly: {name: other}}}\n"}
    yield "a resource twice", {"databricks.yml": GOOD, **twice}
    loops = {"a": "${var.b}", "b": "${var.a}"}
    lines = [f"  {name}: {{default: '{value}'}}" for name, value in loops.items()]
    yield "variables in a circle", {"databricks.yml": GOOD.replace("  size:", "\n".join(lines) + "\n  size:")}
    wide = "".join(f"  v{n}: {{default: '{f'${{var.v{n + 1}}}' * 2}'}}\n" for n in range(40))
    yield "variables that double", {"databricks.yml": GOOD.replace("  size:", wide + "  v40: {default: x}\n  size:")}
    for tag in ("!!python/object/apply:os.system [id]", "!!binary x", "!ruby/object x"):
        yield f"tag {tag[:14]}", {"databricks.yml": GOOD + f"a: {tag}\n"}
    for name, data in BYTES.items():
        yield name, {"databricks.yml": data}


def _halves(chance: random.Random, count: int) -> Iterator[tuple[str, dict[str, str | bytes]]]:
    data = GOOD.encode()
    for _ in range(count):
        at = chance.randrange(len(data))
        yield f"cut off at byte {at} {chance.random():.6f}", {"databricks.yml": data[:at]}


def _linked(root: Path) -> Path:
    (root / "resources").mkdir(parents=True)
    (root / "databricks.yml").write_text(GOOD)
    os.mkfifo(root / "resources/pipe.yml")
    (root / "resources/zero.yml").symlink_to("/dev/zero")
    (root / "resources/loop.yml").symlink_to("loop.yml")
    (root / "resources/up").symlink_to(root)
    (root / "resources/folder.yml").mkdir()
    return root
