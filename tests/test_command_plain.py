"""Each event is one plain sentence that a screen reader can say, and one line of JSON with exactly one final one."""

from __future__ import annotations

import io
import json
import math
import re

import pytest
from dbops_tui.core import events as ev
from dbops_tui.core.redaction import Redactor
from dbops_tui.matrix.model import Diagnosis, Evidence, Fix, Location
from dbops_tui.tui.jsonl import JsonLines, line_of
from dbops_tui.tui.plain import Sentences, sentence

DIAGNOSIS = Diagnosis(
    cause="unresolved_column",
    row="spark.unresolved_column",
    category="spark_sql",
    confidence=0.96,
    title="Column shop_idd does not exist",
    explanation="No input has shop_idd.",
    evidence=(Evidence(14, "[UNRESOLVED_COLUMN] `shop_idd`"),),
    location=Location("src/work.py", 4),
)
SAID: list[tuple[ev.EngineEvent, str]] = [
    (ev.LoopStarted("l1", ("jobs.nightly",), "dev", 3), "Starting on jobs.nightly, target dev, at most 3 rounds."),
    (ev.LoopStarted("l1", (), "", 1, True), "Going on with the bundle, target default, at most 1 round."),
    (
        ev.IdentityKnown("https://a.example.com", "work", "you@example.com", "dev", "development"),
        "Acting at https://a.example.com with profile work as you@example.com, target dev, development.",
    ),
    (ev.StageChanged("deploy", 1, "first round"), "Round 1, deploy: first round."),
    (ev.StageChanged("idle", 0), "Stage idle."),
    (ev.DeployOutput("Uploading files..."), "  | Uploading files..."),
    (ev.DeployOutput(" "), ""),
    (ev.RunStartedEvent("jobs.nightly", "run", "7", url="https://a/7"), "Started jobs.nightly: https://a/7"),
    (ev.RunStartedEvent("jobs.nightly", "repair", "7"), "Repairing jobs.nightly: 7"),
    (ev.RunStartedEvent("jobs.nightly", "adopted", "7"), "Following an earlier start of jobs.nightly: 7"),
    (ev.RunChanged("jobs.nightly", "7", "succeeded", "", 1_987_000), "jobs.nightly: succeeded after 33 min 7 s."),
    (ev.RunChanged("jobs.nightly", "7", "running", "", 7_500_000), "jobs.nightly: running after 2 h 5 min."),
    (
        ev.RunChanged("jobs.nightly", "7", "failed", "Task work failed.", 61_000),
        "jobs.nightly: failed after 61 s, Task work failed.",
    ),
    (ev.TaskChanged("jobs.nightly", "7", "work", "71", "running", 1), "Task work (attempt 2): running."),
    (
        ev.PipelineEventSeen("pipelines.live", "u", "ERROR", "flow_progress", "Flow x failed.", "t"),
        "pipelines.live ERROR: Flow x failed.",
    ),
    (ev.PipelineEventSeen("pipelines.live", "u", "METRICS", "cluster_resources", "noise", "t"), ""),
    (
        ev.FailureDiagnosed("jobs.nightly", DIAGNOSIS, "7", "work"),
        "Diagnosis of jobs.nightly, task work: unresolved_column (96%). No input has shop_idd."
        " It stands at src/work.py:4. Line 14 shows it: [UNRESOLVED_COLUMN] `shop_idd`",
    ),
    (
        ev.FixProposed("jobs.nightly", Fix("edit", "shop_idd → shop_id"), "-a\n+b\n"),
        "Proposed for jobs.nightly: shop_idd → shop_id.\n    -a\n    +b",
    ),
    (ev.FixAppliedEvent(("src/work.py",), "shop_id", "patch"), "Edited by a patch: src/work.py: shop_id."),
    (ev.SourceChangedEvent(tuple("abcdefg")), "The source changed: a, b, c, d, e and 2 more."),
    (ev.Check("tasks", False, "1 of 4 failed"), "Check of tasks: not passed: 1 of 4 failed."),
    (ev.Verified("jobs.nightly", True, False, (ev.Check("tasks", True),)), "Verified jobs.nightly: 1 check passed."),
    (
        ev.Verified("jobs.nightly", False, False, (ev.Check("tasks", False, "1 failed"),)),
        "jobs.nightly did not verify: tasks: 1 failed.",
    ),
    (ev.Holding("run 7 goes on"), "Waiting: run 7 goes on."),
    (
        ev.Problem("cli", "the CLI is missing.", "install it", True),
        "the CLI is missing. To answer it: install it. It may pass when it is tried again.",
    ),
    (
        ev.Problem("workspace.signed_out", "Invalid access token.", "databricks auth login", True),
        "Invalid access token. To answer it: databricks auth login.",
    ),
    (ev.Escalated("three rounds", "# report"), "Escalated to a person: three rounds."),
    (
        ev.LoopEnded("escalated", 3, False, "three rounds", "l1"),
        "Ended escalated after 3 rounds: three rounds. The report: dbops-tui report l1.",
    ),
]


@pytest.mark.parametrize(("event", "said"), SAID)
def test_an_event_in_words(event: ev.EngineEvent, said: str) -> None:
    assert sentence(event) == said


def test_every_kind_of_event_has_words() -> None:
    assert {kind.name for kind in ev.EngineEvent.__subclasses__()} == {event.name for event, _ in SAID}


HOSTILE = "one\x1b[2J\x1b]0;owned\x07\ntwo\u202e" + "long " * 1000


@pytest.mark.parametrize("event", [event for event, said in SAID if said])
def test_no_foreign_text_breaks_the_line_or_reaches_the_terminal(event: ev.EngineEvent) -> None:
    texts = {
        name: HOSTILE
        for name, value in ((name, getattr(event, name)) for name in event.__slots__)
        if isinstance(value, str) and name not in ("kind", "diff", "level", "event_type", "stage", "target")
    }
    said = sentence(type(event)(**{**{name: getattr(event, name) for name in event.__slots__}, **texts}))
    head = said.split("\n")[0] if isinstance(event, (ev.FixProposed, ev.FixAppliedEvent)) else said
    assert "\n" not in head
    assert len(head) < 3_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)


def test_sentences_hide_secrets_and_survive_a_small_alphabet() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    out = Sentences(stream, redactor=Redactor(["held-7Q2kz9XwL4nV8bT1rY6u"]))
    out.event(ev.Holding("é held-7Q2kz9XwL4nV8bT1rY6u"))
    assert raw.getvalue() == b"Waiting: ? [redacted].\n"


def test_deploy_lines_can_be_left_out() -> None:
    stream = io.StringIO()
    out = Sentences(stream, deploy_lines=False)
    out.event(ev.DeployOutput("noise"))
    out.event(ev.Holding("x"))
    assert stream.getvalue() == "Waiting: x.\n"


def test_a_stream_ends_with_exactly_one_final_event() -> None:
    stream = io.StringIO()
    out = JsonLines(stream)
    out.event(ev.Holding("x"))
    out.write("row", {"id": "1" * 20})
    assert not out.ended
    assert out.end("matrix.ended", {"count": 1}, exit_code=1) == 1
    with pytest.raises(ValueError, match="has ended"):
        out.write("row", {})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["waiting", "row", "matrix.ended"]
    assert [line.get("final", False) for line in lines] == [False, False, True]
    assert lines[-1]["exit_code"] == 1
    for line in lines:
        assert line["v"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["at"])


def test_any_data_is_a_line_that_every_reader_takes() -> None:
    line = line_of({"a": math.nan, "b": [math.inf, 1.5], "c": "half \ud83d pair", "d": "line\nbreak\u2028"})
    assert "\n" not in line
    found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert (found["a"], found["b"], found["d"]) == (None, [None, 1.5], "line\nbreak\u2028")
