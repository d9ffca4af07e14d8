"""How often the first diagnosis is right on real error texts, and how fast a long log is read.

Never asserts: prints tables for people and, as its last line, one JSON object. Texts: `DBOPS_SHARED`, else ../shared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.matcher import Matrix, load_matrix
from dbops_tui.matrix.model import Diagnosis, Failure
from dbops_tui.matrix.patterns import expand_macros

LOG_BYTES = 50_000_000
SLICE_BYTES = 200_000
HIT_EVERY = 500
ROUNDS = 5


@dataclass
class Score:
    """What the texts of a corpus gave; counts, and entity facts found of those asked for."""

    total: int = 0
    first: int = 0
    within_three: int = 0
    wrong: int = 0
    unknown: int = 0
    false_alarms: int = 0
    silent: int = 0
    facts: int = 0
    facts_found: int = 0
    facts_named: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)
    seconds: float = 0.0


def corpus_folder() -> Path | None:
    """The folder with dev.jsonl, or None where there is none."""
    base = Path(os.environ.get("DBOPS_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    folder = base / "corpus"
    return folder if (folder / "dev.jsonl").is_file() else None


def read_items(path: Path) -> list[dict[str, Any]]:
    """The items of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def score(items: list[dict[str, Any]], equivalent: list[list[str]], matrix: Matrix | None = None) -> Score:
    """Diagnoses each text and compares with its cause; equivalent causes and `also` count as right.

    `wrong` is a first diagnosis with another cause than asked for; `unknown` and no answer at all are not wrong.
    A diagnosis for a text whose cause is `none` is a false alarm, and wrong as well unless it is `unknown`.
    """
    alike = {label: frozenset(group) for group in equivalent for label in group}
    result = Score(total=len(items))
    for item in items:
        right = {item["cause"], *(item.get("also") or ())}
        for label in tuple(right):
            right |= alike.get(label, frozenset())
        started = time.perf_counter()
        found = diagnose(Failure(text=item["text"], source_kind=item.get("source_kind", "")), matrix=matrix)
        result.seconds += time.perf_counter() - started
        answers = [each.cause for each in found] or ["none"]
        result.first += answers[0] in right
        result.within_three += any(answer in right for answer in answers[:3])
        if answers[0] not in right:
            result.confusions[item["cause"], answers[0]] += 1
            result.misses.append(f"{item.get('id', '?')}: {item['cause']} taken as {', '.join(answers[:3])}")
            result.unknown += answers[0] == "unknown"
            result.silent += answers[0] == "none"
            result.wrong += answers[0] not in ("unknown", "none")
        result.false_alarms += item["cause"] == "none" and bool(found) and answers[0] not in right
        _count_facts(item, found, result)
    return result


def _count_facts(item: dict[str, Any], found: tuple[Diagnosis, ...], result: Score) -> None:
    if item["cause"] == "none":
        return
    entities = found[0].entities if found else {}
    values = {_plain(value) for value in entities.values()}
    for name, value in (item.get("entity") or {}).items():
        result.facts += 1
        named = _plain(entities.get(name, "")) == _plain(str(value))
        result.facts_named += named
        result.facts_found += named or _plain(str(value)) in values


def _plain(value: str) -> str:
    return re.sub(r"[`'\"\s]+", "", value).lower().strip(".,:;")


def sample_log(matrix: Matrix, size: int = LOG_BYTES, seed: int = 7) -> str:
    """A long driver log with one line of a row's own examples in every 500; the same for the same seed."""
    chance = random.Random(seed)
    examples = [
        line
        for row in matrix.rows
        if not row.benign
        for example in row.examples
        for line in example.text.splitlines()
        if line.strip()
    ] or ["ERROR nothing"]
    lines: list[str] = []
    length = 0
    while length < size:
        if len(lines) % HIT_EVERY == HIT_EVERY - 1:
            line = chance.choice(examples)
        else:
            numbers = [chance.randrange(1000) for _ in range(5)]
            line = (
                f"24/03/01 09:38:{numbers[0] % 60:02d} INFO TaskSetManager: Finished task {numbers[1]}.0 in stage "
                f"{numbers[2]}.0 (TID {numbers[3]}) in {numbers[4]} ms on 10.224.215.34 (executor 18) (200/200)"
            )
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)


def plain_regexes(matrix: Matrix) -> list[re.Pattern[str]]:
    """Every signal of every row as an ordinary regex, as a plain tool would hold them."""
    regexes: list[str] = []
    for row in matrix.rows:
        for pattern in row.match.patterns:
            regexes.extend([expand_macros(pattern.regex)] if pattern.regex else map(re.escape, pattern.literals))
        match = row.match
        for token in (*match.codes, *match.error_codes, *match.error_classes, *match.exceptions):
            regexes.append(rf"\b{re.escape(token.rstrip('*'))}" + ("" if token.endswith("*") else r"\b"))
    return [re.compile(regex, re.IGNORECASE) for regex in dict.fromkeys(regexes)]


def plain_loop(lines: list[str], regexes: list[re.Pattern[str]]) -> int:
    """The baseline: each regex on each line."""
    return sum(1 for line in lines for regex in regexes if regex.search(line))


def measure_speed(matrix: Matrix) -> dict[str, float]:
    """MB/s of diagnosing a 50 MB log and of the plain loop on a slice of it, in turn, medians of five."""
    text = sample_log(matrix)
    part = text[:SLICE_BYTES].splitlines()
    regexes = plain_regexes(matrix)
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        diagnose(Failure(text=text, source_kind="job_task"), matrix=matrix)
        ours.append(len(text) / 1e6 / (time.perf_counter() - started))
        started = time.perf_counter()
        plain_loop(part, regexes)
        plain.append(SLICE_BYTES / 1e6 / (time.perf_counter() - started))
    speed, base = statistics.median(ours), statistics.median(plain)
    return {"mb_per_s": round(speed, 1), "plain_mb_per_s": round(base, 3), "speedup_vs_re": round(speed / base, 1)}


def _lines(result: Score, verbose: bool) -> Iterator[str]:
    share = 100 / max(1, result.total)
    yield f"texts            {result.total}"
    yield f"first right      {result.first * share:6.1f} %"
    yield f"within three     {result.within_three * share:6.1f} %"
    yield f"wrong            {result.wrong * share:6.1f} %  ({result.wrong})"
    yield f"unknown          {result.unknown * share:6.1f} %  ({result.unknown}; no answer {result.silent})"
    yield f"false alarms     {result.false_alarms}"
    facts = max(1, result.facts)
    named = 100 * result.facts_named / facts
    yield f"entity facts     {100 * result.facts_found / facts:6.1f} %  (by name {named:.1f} %)"
    yield f"ms per text      {1000 * result.seconds / max(1, result.total):6.2f}"
    if result.confusions:
        yield "confusions (asked for -> first diagnosis):"
        yield from (f"  {count} x {asked} -> {got}" for (asked, got), count in result.confusions.most_common())
    if verbose:
        yield from (f"  {miss}" for miss in result.misses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--verbose", action="store_true", help="name each text that came out wrong")
    parser.add_argument("--no-speed", action="store_true", help="leave out the 50 MB log")
    parser.add_argument("--items", type=Path, help="another JSON Lines file of the same shape")
    options = parser.parse_args()
    started = time.perf_counter()
    matrix = load_matrix()
    loaded = time.perf_counter() - started
    figures: dict[str, Any] = {}
    folder = corpus_folder()
    causes = len({row.cause for row in matrix.rows})
    print(f"rows             {len(matrix.rows)} ({causes} causes), read in {loaded:.2f} s")
    if options.items or folder:
        items = read_items(options.items or folder / "dev.jsonl")  # type: ignore[operator]
        alike = json.loads((folder / "equivalent.json").read_text(encoding="utf-8")) if folder else []
        result = score(items, alike, matrix)
        print("\n".join(_lines(result, options.verbose)))
        total = max(1, result.total)
        figures.update(
            top1=round(result.first / total, 4),
            top3=round(result.within_three / total, 4),
            wrong=round(result.wrong / total, 4),
            unknown=round(result.unknown / total, 4),
            false_alarms=result.false_alarms,
            entity_recall=round(result.facts_found / max(1, result.facts), 4),
            entity_recall_named=round(result.facts_named / max(1, result.facts), 4),
        )
    else:
        print("no corpus here; accuracy left out")
    if not options.no_speed:
        speed = measure_speed(matrix)
        figures.update(speed)
        print(f"50 MB log        {speed['mb_per_s']:.0f} MB/s; plain loop of re {speed['plain_mb_per_s']:.3f} MB/s")
    print(json.dumps({"bench": "diagnosis", "figures": figures}))


if __name__ == "__main__":
    main()
