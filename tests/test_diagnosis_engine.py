"""The engine's promises on a small matrix: structure first, root first, quoted lines, no guess, any text survives."""

from __future__ import annotations

import random

import pytest
from dbops_tui.matrix import excerpt
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.group import counts, group
from dbops_tui.matrix.matcher import Matrix, Scanner
from dbops_tui.matrix.model import ExceptionInfo, Failure
from dbops_tui.matrix.schema import parse_rows
from dbops_tui.matrix.text import Passage, numbered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix_rows import ROWS, small_matrix

MATRIX = small_matrix()
COLUMN = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `idd` cannot be resolved. "
    "Did you mean one of the following? [`id`, `t`.`ix`]. SQLSTATE: 42703"
)


def causes(text: str, **facts: object) -> list[str]:
    return [each.cause for each in diagnose(Failure(text=text, **facts), matrix=MATRIX)]  # type: ignore[arg-type]


def test_structured_facts_outrank_prose() -> None:
    text = "ModuleNotFoundError: No module named 'x'"
    assert causes(text)[0] == "missing_python_module"
    assert causes(text, termination_code="INIT_SCRIPT_FAILURE")[0] == "init_script_failed"


@pytest.mark.parametrize("words", ["Init Script Failure", "Init script failure. See the logs"])
def test_a_code_in_the_words_of_a_page_counts_as_the_code(words: str) -> None:
    (found, *_) = diagnose(Failure(text=f"Cluster terminated. Reason: {words}"), matrix=MATRIX)
    assert (found.cause, found.entities["code"]) == ("init_script_failed", "INIT_SCRIPT_FAILURE")
    assert causes("A script failure is not the reason") == []


def test_an_error_class_outranks_prose_before_it() -> None:
    assert causes("No module named 'x'\nanalysis failed\n" + COLUMN)[0] == "unresolved_column"


def test_a_cascade_never_stands_before_its_cause() -> None:
    wrapper = "Task a failed with message: Workload failed, see run output for details"
    assert causes(f"{wrapper}\nModuleNotFoundError: No module named 'x'")[:2] == [
        "missing_python_module",
        "upstream_failed",
    ]
    assert causes(wrapper) == ["upstream_failed"]


def test_each_line_that_tells_of_a_cascade_belongs_to_it_not_only_the_first() -> None:
    line = "tool.errors.RunError: Workload failed, see run output"
    assert causes(f"{line}\nIn process 8: {line}") == ["upstream_failed"]


def test_an_unknown_error_beside_a_cascade_is_unknown_not_the_cascade() -> None:
    found = causes("Workload failed, see run output\n[SOME_NEW_CLASS.SUB] Something odd happened. SQLSTATE: 58030")
    assert found == ["unknown", "upstream_failed"]


def test_a_text_without_a_failure_has_no_diagnosis() -> None:
    for text in (
        "",
        "\n\n",
        "Validation OK!",
        "0 errors, 3 warnings",
        "10:00:00 INFO Retrying after 429 Too Many Requests",
        "10:00:00 DEBUG GET /x\n< HTTP/2.0 404 Not Found\n< Table or view not found: a.b",
        "WARN Lost task: ValueError: no",
        "Done. PASS=12 WARN=0 ERROR=0",
        '"error": null, "result_state": "SUCCESS"',
    ):
        assert causes(text) == [], text


def test_a_failure_that_no_row_knows_is_unknown_with_its_best_line() -> None:
    found = diagnose(Failure(text="starting\nstill fine\nError: flux capacitor is not charged\nbye"), matrix=MATRIX)
    assert [each.cause for each in found] == ["unknown"]
    assert found[0].evidence[0].line == 3
    assert "flux capacitor" in found[0].evidence[0].text


def test_a_class_that_no_row_names_gives_class_sqlstate_and_names() -> None:
    text = "x\n[BRAND_NEW.KIND] Bad thing with `a`.`b`. Did you mean one of the following? [`c`, `d`]. SQLSTATE: 4XQ9Z"
    (found,) = diagnose(Failure(text=text), matrix=MATRIX)
    assert found.cause == "unknown"
    assert found.entities["error_class"] == "BRAND_NEW.KIND"
    assert found.entities["sqlstate"] == "4XQ9Z"
    assert found.entities["suggestion"] == "c, d"
    assert found.evidence[0].line == 2
    assert found.fixes


def test_prose_that_is_not_exact_does_not_speak_for_a_class_that_no_row_names() -> None:
    vague = parse_rows(
        "- {id: v.x, cause: path_not_found, title: t, explanation: e, match: {patterns: [went missing]}, "
        "fixes: [{kind: manual, title: x}]}"
    )
    matrix = Matrix((*vague, *MATRIX.rows))
    assert diagnose(Failure(text="Error: it went missing"), matrix=matrix)[0].cause == "path_not_found"
    named = "[BRAND_NEW_CLASS] The thing went missing. SQLSTATE: 4XQ9Z"
    assert diagnose(Failure(text=named), matrix=matrix)[0].cause == "unknown"
    exact = "[BRAND_NEW_CLASS] A column with name `idd` cannot be resolved. SQLSTATE: 4XQ9Z"
    assert diagnose(Failure(text=exact), matrix=matrix)[0].cause == "unresolved_column"


@pytest.mark.parametrize(
    "text",
    [
        '"node_type_id": "[NODE_TYPE_ID]",',
        "cli/[CLI_VERSION] databricks-sdk-go/[SDK_VERSION] go/[GO_VERSION]",
        "User: [USER_NAME]\nPath: /Workspace/Users/[USER_NAME]/x",
    ],
)
def test_a_masked_value_is_no_error_class(text: str) -> None:
    assert causes(text) == []


def test_the_whole_class_is_an_entity_wherever_it_is_written() -> None:
    for text in (COLUMN, "UNRESOLVED_COLUMN.WITH_SUGGESTION: a column", "[[UNRESOLVED_COLUMN](https://x)] a column"):
        (found,) = diagnose(Failure(text=text), matrix=MATRIX)
        assert found.entities["error_class"].startswith("UNRESOLVED_COLUMN"), text
    assert (
        diagnose(Failure(text=COLUMN), matrix=MATRIX)[0].entities["error_class"] == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
    )


def test_evidence_names_the_line_and_entities_come_from_it() -> None:
    (found,) = diagnose(Failure(text=f"one\ntwo\n{COLUMN}\nfour"), matrix=MATRIX)
    assert found.evidence[0].line == 3
    assert found.entities["column"] == "idd"
    assert found.entities["suggestion"] == "id, t.ix"
    assert found.title == "Column idd does not exist"
    assert found.fixes[0].title == "Use id, t.ix"


def test_a_command_with_a_gap_is_not_runnable() -> None:
    (found,) = diagnose(Failure(text="raise\nModuleNotFoundError: gone"), matrix=MATRIX)
    assert found.fixes[0].command is None
    assert "<module>" in found.fixes[0].title


def test_terraform_boxes_and_wrapped_lines_are_read_through() -> None:
    text = (
        "╷\n│ Error: something\n│ \n│ Init script\n│   dbfs:/init/a.sh   failed:\n│ Script exit status is non-zero\n╵"
    )
    (found,) = diagnose(Failure(text=text), matrix=MATRIX)
    assert (found.cause, found.entities["script"]) == ("init_script_failed", "dbfs:/init/a.sh")
    assert [each.line for each in found.evidence] == [4, 5]


def test_the_place_in_a_cli_diagnostic_becomes_the_location() -> None:
    (found,) = diagnose(
        Failure(text="Warning: unknown field: taskz\n  at resources.jobs.main\n  in resources/jobs.yml:12:7"),
        matrix=MATRIX,
    )
    assert found.location is not None
    assert (found.location.file, found.location.line, found.location.column) == ("resources/jobs.yml", 12, 7)
    assert found.entities["resource"] == "jobs.main"


def test_exceptions_that_code_only_mentions_do_not_count() -> None:
    assert causes("    raise ModuleNotFoundError(name)\n    except ValueError as error:\nall good") == []


def test_a_benign_line_claims_what_stands_in_it() -> None:
    assert causes("Inactive cluster terminated (INIT_SCRIPT_FAILURE)") == []


def test_warnings_count_only_where_a_row_says_so_or_nothing_else_explains_a_known_failure() -> None:
    assert causes("Warning: unknown field: foo") == ["unknown_config_field"]
    assert causes("WARN Table or view not found: a.b") == []
    assert causes("WARN Table or view not found: a.b", result_state="FAILED") == ["table_not_found"]


def test_pipeline_exceptions_are_read_even_when_the_text_says_nothing() -> None:
    failure = Failure(
        text="Update 1a2b is FAILED.",
        source_kind="pipeline_event",
        exceptions=(
            ExceptionInfo("org.apache.spark.SparkException", "flow failed"),
            ExceptionInfo(
                "AnalysisException", "A column with name `x` cannot be resolved", "UNRESOLVED_COLUMN", "42703"
            ),
        ),
    )
    found = diagnose(failure, matrix=MATRIX)
    assert found[0].cause == "unresolved_column"
    assert found[0].entities["column"] == "x"


def test_the_deepest_cause_of_a_java_chain_stands_first() -> None:
    text = (
        "Table or view not found: a.b\n\tat org.x.Y(Z.scala:1)\nCaused by: java.lang.RuntimeException: y\n"
        "Caused by: java.io.IOException: Init script /a/b.sh failed"
    )
    assert causes(text)[0] == "init_script_failed"


def test_the_order_of_rows_means_nothing() -> None:
    text = f"Workload failed, see run output\nValueError: x\n{COLUMN}\nTable or view not found: q"
    rows = list(parse_rows(ROWS, file="small.yaml"))
    wanted = [(each.cause, each.row, each.confidence) for each in diagnose(Failure(text=text), matrix=MATRIX)]
    for seed in range(12):
        random.Random(seed).shuffle(rows)
        found = diagnose(Failure(text=text), matrix=Matrix(rows))
        assert [(each.cause, each.row, each.confidence) for each in found] == wanted


def test_a_superseded_row_stands_behind() -> None:
    extra = r"""
- id: a.broad
  cause: path_not_found
  title: t
  explanation: e
  match: {patterns: [{literal: "thing is missing", strength: exact}]}
  fixes: [{kind: manual, title: x}]
- id: z.narrow
  cause: volume_not_found
  title: t
  explanation: e
  supersedes: [path_not_found]
  match: {patterns: [{literal: "volume thing is missing", strength: general}]}
  fixes: [{kind: manual, title: x}]
"""
    rows = parse_rows(extra)
    for order in (rows, rows[::-1]):
        found = diagnose(Failure(text="Error: volume thing is missing"), matrix=Matrix(order))
        assert [each.cause for each in found] == ["volume_not_found", "path_not_found"]


def test_learned_rows_stand_before_built_in_ones() -> None:
    learned = parse_rows(
        "- {id: our.own, cause: our_cause, title: t, explanation: e, match: {patterns: [cannot be resolved]}}",
        learned=True,
    )
    found = diagnose(Failure(text=COLUMN), matrix=Matrix((*learned, *MATRIX.rows)))
    assert found[0].cause == "our_cause"
    assert 0 < found[0].confidence <= 1


def test_failures_are_grouped_by_cause_with_their_tasks() -> None:
    failures = [
        Failure(text="Task z failed with message: Workload failed, see run output", task_key="z"),
        *(Failure(text=f"ModuleNotFoundError: No module named 'x'  # {n}", task_key=f"m{n}") for n in range(5)),
        *(Failure(text=COLUMN, task_key=f"c{n}") for n in range(3)),
        Failure(text="ModuleNotFoundError: No module named 'other'", task_key="o"),
        Failure(text="Validation OK!", task_key="fine"),
    ]
    found = group(failures, matrix=MATRIX)
    assert [(each.cause, len(each.task_keys)) for each in found] == [
        ("missing_python_module", 5),
        ("unresolved_column", 3),
        ("missing_python_module", 1),
        ("upstream_failed", 1),
    ]
    assert counts(found) == {"missing_python_module": 6, "unresolved_column": 3, "upstream_failed": 1}


def _long_log(middle: str, lines: int = 30_000) -> str:
    quiet = (
        "24/03/01 09:38:01 INFO TaskSetManager: Finished task 1.0 in stage 2.0 (TID 3) in 4 ms on 10.0.0.1 (executor 1)"
    )
    return "\n".join([quiet] * lines + [middle] + [quiet] * lines)


def test_a_long_log_gives_what_its_failing_line_gives() -> None:
    (short,) = diagnose(Failure(text=COLUMN), matrix=MATRIX)
    (found,) = diagnose(Failure(text=_long_log(COLUMN)), matrix=MATRIX)
    assert (found.cause, found.entities["column"], found.confidence) == (short.cause, "idd", short.confidence)
    assert found.evidence[0].line == 30_001
    assert diagnose(Failure(text=_long_log("24/03/01 09:38:01 INFO all well")), matrix=MATRIX) == ()


def test_a_failure_among_thousands_of_warnings_is_found() -> None:
    noise = "24/03/01 09:38:01 WARN Retry: 429 Too Many Requests"
    text = "\n".join([noise] * 20_000 + ["24/03/01 09:38:02 ERROR Client: 429 Too Many Requests"] + [noise] * 20_000)
    (found,) = diagnose(Failure(text=text), matrix=MATRIX)
    assert found.cause == "rate_limited"
    assert found.evidence[0].line == 20_001


def test_a_literal_that_is_everywhere_in_a_log_does_not_hide_the_failure() -> None:
    rows = parse_rows(
        "- {id: v.x, cause: path_not_found, title: t, explanation: e, match: {patterns: [in stage 2.0]}, "
        "fixes: [{kind: manual, title: x}]}"
    )
    (found,) = diagnose(Failure(text=_long_log(COLUMN)), matrix=Matrix((*rows, *MATRIX.rows)))
    assert found.cause == "unresolved_column"
    assert found.evidence[0].line == 30_001


def test_one_failure_in_the_middle_is_not_lost_among_hundreds_of_others_at_both_ends() -> None:
    others = [f"24/03/01 09:38:02 ERROR Client: fault-{n:02d} seen" for n in range(60)]
    rows = parse_rows(
        "".join(
            f"- {{id: v.n{n}, cause: path_not_found, title: t, explanation: e, strength: hint, match: {{patterns: "
            f"[{{literal: fault-{n:02d} seen, strength: hint}}]}}, fixes: [{{kind: manual, title: x}}]}}\n"
            for n in range(60)
        )
    )
    text = "\n".join((*others * 40, _long_log(COLUMN, 4000), *others * 40))
    found = diagnose(Failure(text=text), matrix=Matrix((*rows, *MATRIX.rows)))
    assert found[0].cause == "unresolved_column"


def test_a_failure_that_only_a_plain_word_shows_is_found_in_a_long_log_too() -> None:
    rows = parse_rows(
        "- {id: v.x, cause: path_not_found, title: t, explanation: e, match: {patterns: [{literal: capacitor, "
        "regex: 'capacitor (?P<name>[a-z]{1,9}) is cold'}]}, fixes: [{kind: manual, title: x}]}"
    )
    text = _long_log("24/03/01 09:38:02 ERROR Flux: capacitor omega is cold")
    (found,) = diagnose(Failure(text=text), matrix=Matrix((*rows, *MATRIX.rows)))
    assert (found.cause, found.entities["name"]) == ("path_not_found", "omega")


@pytest.mark.parametrize("chunk", [4096, 5000, 65_536, 1 << 20])
def test_where_a_long_log_is_cut_makes_no_difference(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpt, "_CHUNK", chunk)
    text = _long_log(COLUMN + "\nModuleNotFoundError: No module named 'x'", 4000)
    found = diagnose(Failure(text=text), matrix=MATRIX)
    assert [each.cause for each in found] == ["unresolved_column", "missing_python_module"]
    assert found[0].evidence[0].line == 4001


def test_a_long_log_on_one_line_is_cut_around_its_hit() -> None:
    (found,) = diagnose(Failure(text="x" * 400_000 + " " + COLUMN + " " + "y" * 400_000), matrix=MATRIX)
    assert found.cause == "unresolved_column"
    assert found.evidence[0].line == 1
    assert len(found.evidence[0].text) < 500


def test_without_the_automaton_the_same_literals_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    literals = [b"unresolved", b"resolve", b"unresolved_column", b"column", b"xyz"]
    text = b"an unresolved_column, resolved"
    wanted = sorted(Scanner(literals).find(text))
    monkeypatch.setitem(__import__("sys").modules, "ahocorasick_rs", None)
    assert sorted(Scanner(literals).find(text)) == wanted
    assert wanted


NASTY = st.text(alphabet=st.one_of(st.characters(), st.sampled_from(list("[]{}()'\"`\\\n\r\t:.│<>/-_ "))), max_size=400)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            COLUMN,
            "Error:",
            "Traceback (most recent call last):",
            "SQLSTATE: ",
            "[A_B.C_D]",
            "Caused by: ",
            "\n",
            " ",
            "│",
            "'",
            "\\n",
        ]
    )
    | NASTY,
    max_size=12,
).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FRAGMENTS, st.sampled_from(["", "FAILED"]))
def test_any_text_gets_an_answer_with_quotes_that_are_in_it(text: str, state: str) -> None:
    found = diagnose(Failure(text=text, result_state=state), matrix=MATRIX)
    lines = text.replace("\r\n", "\n").split("\n")
    if state:
        assert found
    for each in found:
        assert 0 < each.confidence <= 1
        for evidence in each.evidence:
            assert 1 <= evidence.line <= len(lines)
            assert evidence.text.strip("…") in lines[evidence.line - 1]
    assert [each.confidence for each in found if each.cause != "unknown"] == sorted(
        (each.confidence for each in found if each.cause != "unknown"), reverse=True
    )
    assert len({each.cause for each in found}) == len(found)


@settings(max_examples=100, deadline=None)
@given(FRAGMENTS)
def test_the_flat_text_and_its_folded_form_have_the_same_length(text: str) -> None:
    passage = Passage(numbered(text))
    assert len(passage.flat) == len(passage.folded)
    for line in passage.lines:
        assert line.start <= len(passage.flat) + 1


def test_an_error_line_counts_although_a_debug_line_before_it_says_the_same() -> None:
    said = "File size is (459418 bytes), exceeded max size (10485 bytes)"
    log = f"17:15:06 Debug: non-retriable error: {said} pid=1 sdk=true\n"
    assert [d.cause for d in diagnose(Failure(text=log + f"Error: {said}"))] == ["invalid_parameter_value"]
    assert [d.cause for d in diagnose(Failure(text=log))] == []
    short = "17:15:06 Debug: first error: it was so\nError: it was so"
    assert [d.cause for d in diagnose(Failure(text=short))] == ["unknown"]


def test_a_json_answer_with_an_error_in_it_is_a_failure() -> None:
    answer = '{\n  "status": "failed",\n  "error": "no such thing here",\n  "files": null\n}'
    assert [d.cause for d in diagnose(Failure(text=answer))] == ["unknown"]
    assert diagnose(Failure(text='{"status": "ok", "error": "", "files": []}')) == ()
