"""What any failure text says about itself, without a row: error class, SQLSTATE, codes, exceptions, places, names.

Never names a cause; it only finds the facts that a diagnosis quotes and the line that best shows a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .text import LOW_LEVELS, Passage

#: How far from a hit a fact may stand, in characters of flat text.
_REACH_BACK: Final = 2_000
_REACH_ON: Final = 3_000
_CLASS: Final = r"(?:[A-Z][A-Z0-9]{2,}(?:_[A-Z0-9]+)*|[A-Z][A-Z0-9](?:_[A-Z0-9]+)+)(?:\.[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)?"
_ERROR_CLASS: Final = re.compile(
    rf"\[(?P<a>{_CLASS})\]|ErrorClass=(?P<b>{_CLASS})|error_?[cC]lass\"?'?\s?[:=]\s?[\"']?(?P<c>{_CLASS})"
    rf"|(?<![\w.\[])(?P<d>[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\.[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)(?=\]|:|\s)"
)
_NOT_A_CLASS: Final = frozenset(
    (
        "INFO",
        "WARN",
        "WARNING",
        "ERROR",
        "DEBUG",
        "TRACE",
        "FATAL",
        "CRITICAL",
        "CLI",
        "USERNAME",
        "NUMID",
        "UUID",
        "TIMESTAMP",
        "RUN",
        "RUN_URL",
        "DATABRICKS_URL",
        "TEST_TMP_DIR",
        "UNIQUE_NAME",
        "DATABRICKS_TARGET",
        "REDACTED",
        "MY_RUN_ID",
        "FAILED",
        "SUCCESS",
        "PASS",
        "SKIP",
        "OK",
        "DONE",
        "START",
    )
)
_EXCEPTION: Final = re.compile(
    r"(?<![\w.$])(?P<exception>(?:[a-zA-Z_][\w$]{0,60}\.){0,12}[A-Z][\w$]{0,80}(?:Error|Exception|NotDefined|Fault)"
    r"|databricks\.sdk\.errors\.(?:\w{1,30}\.){0,2}[A-Z]\w{2,60})"
    r"(?=:\s|\(|\s?$|:\s?$)"
)
_MENTIONED: Final = re.compile(r"(?:raise|except|import|catch|throws|isinstance\(e,)\s\(?$")

# Facts with a name of their own, searched on the flat text; the first named group that is set is the value.
_FACTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (name, re.compile(regex))
    for name, regex in (
        ("sqlstate", r"SQL ?-?STATE\)?\s?[:=]\s?\"?([0-9A-Z]{5})\b"),
        ("sqlstate", r"(?:sqlState|SQL state)\"?\s?[:=]\s?\"?([0-9A-Z]{5})\b"),
        ("error_code", r"error_?code[\"']?\s?[:=]\s?[\"']?([A-Z][A-Z_]{3,60})"),
        ("error_code", r"Error Code:\s?([A-Z][A-Z_]{3,80})"),
        ("error_code", r"\(\d{3} ([A-Z][A-Z_]{3,60})\)"),
        (
            "error_code",
            r"\b(RESOURCE_DOES_NOT_EXIST|RESOURCE_ALREADY_EXISTS|INVALID_PARAMETER_VALUE|PERMISSION_DENIED)\b",
        ),
        (
            "error_code",
            r"\b(BAD_REQUEST|INTERNAL_ERROR|REQUEST_LIMIT_EXCEEDED|QUOTA_EXCEEDED|INVALID_STATE|NOT_FOUND)\b",
        ),
        ("code", r"\bcode[\"']?\s?[:=]\s?[\"']?([A-Z][A-Z_]{5,60})"),
        ("code", r"\b([A-Z][A-Z_]{5,60})\((?:CLIENT_ERROR|SERVICE_FAULT|CLOUD_FAILURE|SUCCESS)\)"),
        ("code", r"<Code>([A-Za-z]{3,60})</Code>"),
        ("type", r"\btype[\"']?\s?[:=]\s?[\"']?(CLIENT_ERROR|CLOUD_FAILURE|SERVICE_FAULT|INTERNAL_ERROR)"),
        ("type", r"\((CLIENT_ERROR|SERVICE_FAULT|CLOUD_FAILURE)\)"),
        ("azure_error_code", r"azure_error_code:\s?([A-Za-z]{3,60})"),
        ("status", r"(?<!exit )(?i:status(?:_?code)?)[\"']?[:=]?\s?[\"']?([1-5]\d\d)\b"),
        ("status", r"(?i:HTTP(?:/[\d.]{1,3})?(?: ERROR| Status:?|[ \-_]code)?[\"']?)[\s:=]{1,2}[\"']?([45]\d\d)\b"),
        ("status", r"\b(?:(?:[Rr]esponse|[Ee]rror) [Cc]ode:?|from server|[Ee]rror|failed with:)\s?\(?([45]\d\d)\b"),
        ("status", r"\b([45]\d\d) (?:Client Error|Server Error|Bad Request|Unauthorized|Forbidden|Not Found|Conflict)"),
        ("status", r"< ([45]\d\d) [A-Z][a-z]"),
        ("status", r"\((4\d\d|5\d\d)(?: [A-Z_]{3,60})?\)"),
        ("status", r"\", ([45]\d\d), (?:HEAD|GET|PUT|POST|DELETE|PATCH)\b"),
        ("status", r"error_code[\"']?\s?:\s?([45]\d\d)\b"),
        ("endpoint", r"(?<![\w/])(/?api/\d\.\d/[\w\-./%]{3,200}|\d\.\d/(?:jobs|clusters|sql|pipelines)/[\w\-/]{3,80})"),
        ("endpoint", r"\.(?:com|net|us|cn)(?::\d{2,5})?(/api/\d\.\d/[\w\-./%]{3,200})"),
        ("endpoint", r"(?:search|serving|Serving) endpoint:? ['\"`]?([\w\-]{2,80}\w)"),
        ("request_id", r"(?i:req(?:uest)?_?id)[\"']?\s?[:=]\s?[\"']?([0-9a-f]{8}-[0-9a-f-]{20,40})"),
        ("cluster_id", r"\b(\d{4}-\d{6}-[a-z0-9]{4,12}(?:-v2n)?)\b"),
        ("cluster_id", r"[Cc]luster(?: ID)? \(?([\w\-]{5,80})\)?:"),
        ("job_id", r"[\"']?job_?[iI]d[\"']?\s?[:=]\s?[\"']?(\d{1,20}|\[NUMID\])"),
        ("job_id", r"(?i:\bjob) (?:ID )?(\[?\d{1,20}\]?|\[NUMID\])(?= (?:is|does|not)|\.|$)"),
        ("run_id", r"[\"']?run_?[iI]d[\"']?\s?[:=]\s?[\"']?(\d{1,20})"),
        ("run_id", r"(?i:\brun)(?: with ID)? [`'\"]?(\d{3,20}|[0-9a-f]{32})[`'\"]?"),
        ("warehouse_id", r"(?:/sql/1\.0/warehouses/|warehouse_?[iI]d[\"']?\s?[:=]\s?[\"']?)([0-9a-f]{16})"),
        ("pipeline_id", r"pipeline_?[iI]d?[\"']?\s?[:=]?\s?[\"']?([0-9a-f]{8}-[0-9a-f-]{20,40})"),
        ("workspace_id", r"workspace:? (?:ID:? )?(\d{10,20})"),
        ("deployment_id", r"[Dd]eployment (?:ID:? )?([0-9a-f]{32})"),
        ("table_id", r"(?:Table ID:|table \(id =|[Dd]elta table \(id) ?'?=? ?'?([0-9a-f]{8}-[0-9a-f-]{20,40})"),
        ("host", r"(https?://[\w.\-]{3,200}\.(?:azuredatabricks|databricks)\.(?:net|com|us|cn))"),
        ("host", r"host='([\w.\-]{3,200})'"),
        ("host", r"\bhost=(https?://[\w.\-]{3,200})"),
        ("host", r"\blookup ([\w.\-]{3,200})"),
        ("task", r"[Tt]ask \"?([\w\-.]{1,100})\"? failed with message"),
        ("task", r"\btask_?[kK]ey[\"']?\s?[:=]\s?[\"']?([\w\-]{1,100})"),
        ("task", r"task \"([\w\-]{1,100})\""),
        ("notebook", r"notebook_path[\"']?\s?[:=]\s?[\"']?([^\s\"',]{1,400})"),
        ("resource", r"\bat resources\.([\w\-]{1,60}\.[\w\-]{1,100})"),
        ("resource", r"\bresources\.([\w\-]{1,60}\.[\w\-]{1,100})(?=: |\.| )"),
        ("resource", r"with ((?:databricks_|aws_|azurerm_)\w{1,80}\.[\w\-]{1,100}(?:\[[^\]]{1,100}\])?),"),
        ("resource_type", r"cannot (?:create|update|delete|read) ([a-z][a-z ]{2,40}):"),
        ("action", r"(?:[Ee]rror:?|=)? ?[Cc]annot ((?:create|update|delete|read|resolve) [a-z][a-z ]{2,40}):"),
        ("model", r"in model (\w{1,120}) \("),
        ("model", r"for model model\.\w{1,80}\.(\w{1,120})"),
        ("model", r"\b(?:table|streaming_table|view|materialized_view|incremental|snapshot) model ([\w.]{1,160})"),
        ("file", r"in model \w{1,120} \(([^\s()]{1,300})\)"),
        ("flow", r"(?:[Ff]low|flow:) ['`\"]([^'`\"]{1,300})['`\"]"),
        ("dataset", r"(?:dataset|Table|table|view) ['`\"]([\w.$]{1,300})['`\"]"),
        ("stage", r"in stage (\d{1,9}(?:\.\d{1,4})?)"),
        ("call", r"while calling (\w{1,40}\.\w{1,80})"),
        ("limit", r"(?:Current Limit|Maximum allowed|limit|quota is|less than)[:\s]{1,2}(\d{1,12})\b"),
        ("usage", r"(?:Current Usage|Current in use|in use|currently)[:\s]{1,2}(\d{1,12})\b"),
        ("required", r"(?:Additional Required|Additional requested)[:\s]{1,2}(\d{1,12})\b"),
        ("location", r"Location: (\w{3,40})"),
        ("profile", r"--profile[= ]\"?([\w\-.]{1,80})"),
        ("target", r"target[= ]\"?'?([\w\-]{1,80})(?=[:'\",)])"),
        ("library", r"([\w.+\-]{1,200}\.(?:whl|jar|egg))"),
        ("version", r"at version (\d{1,12})"),
        ("option", r"set the option '(\w{2,80})'"),
        ("principal", r"User ([\w.+\-]{1,80}@[\w.\-]{3,80}|\[\w{3,60}\]|[0-9a-f]{8}-[0-9a-f\-]{27}) does not"),
        ("operation", r"[\"']operation[\"']\s?:\s?[\"']([A-Z][A-Z ]{2,60})"),
        ("read_version", r"[\"']readVersion[\"']\s?:\s?(\d{1,12})"),
        ("source", r"\((Chauffeur\.scala:\d{1,6})\)"),
        ("step", r"\[Step (\d{1,4}/\d{1,4})\]"),
        ("job", r"in job \"([\w\-]{1,100})\""),
        ("lock_holder", r"lock (?:force[- ]?)?acquired by (\S{1,200}) at "),
        (
            "lock_time",
            r"lock (?:force[- ]?)?acquired by \S{1,200} at "
            r"(\d{4}-\d\d-\d\d [\d:.]{5,20}(?: [+\-]\d{4})?(?: [A-Z]{2,5}\b)?)",
        ),
        ("script", r"[Ii]nit [Ss]cript (\S{3,300}) (?:failed|was not found|could not)"),
        ("reason", r"[Ii]nit [Ss]cript \S{3,300} failed: (?:\S{1,300}: )?([A-Z][\w \-]{3,80})"),
        ("family", r"approved (\w{3,60}) Cores quota"),
        ("quota", r"Quota: (\w{3,60})"),
        ("method", r"\bmethod=(\w{3,40})"),
        ("attempt", r"\battempt=(\d{1,4}/\d{1,4})"),
        ("elapsed", r"\belapsed-seconds=([\d./]{1,40})"),
        ("panic", r"panic: (?:runtime error: )?([^|]{3,200}?)(?: \[signal| \[recovered| goroutine|$)"),
        (
            "function",
            r"goroutine \d{1,6} \[running\]: (?:[\w.]{3,40}/[\w\-]{1,40}/[\w\-]{1,40}/)?"
            r"([\w./\-]{1,120}(?:\(\*\w{1,60}\))?[\w.]{0,80})\(",
        ),
        ("dashboard_id", r"\bdashboards?[/ ]\[?([0-9a-z]{16,40})\b"),
        ("node", r"node \[(\w{2,20}/\w{3,60})\]"),
        ("path", r"\b(?:chdir|open|lstat|stat|mkdir|fork/exec) ([^\s:]{3,300}): "),
        ("requirement", r"satisfies the requirement ([\w.\-\[\]]{1,100}(?:[=<>!~]{1,3}[\w.*]{1,40})?)"),
        ("app", r"\b(?:create|update|delete|start|stop|deploy) app ([\w\-]{2,60}\w)\b"),
        ("field", r"Error: (\w{3,40}) section "),
        ("warehouse", r"databricks_sql_(?:endpoint|warehouse)\.\w{1,80}\[\"([^\"]{1,120})\"\]"),
        ("command", r"\b(?:bash|sh|zsh): (?:line \d{1,5}: |\d{1,5}: )?([\w.\-/]{1,100}): (?:command )?not found"),
        (
            "privilege",
            r"(?:does not|doesn't) have (?:permission |privilege )?([A-Z][A-Z_]{2,30}(?: [A-Z]{2,20}){0,3}) on ",
        ),
        ("flag", r"(?:[Ss]pecify|[Uu]se|[Pp]ass|[Rr]equires?|with|without) [`'\"]?(--[a-z][\w\-]{2,40})"),
        ("exit_code", r"(?:exited with code|exit code:?|[Ee]xit code is|non-zero exit status|exit status) (\d{1,3})\b"),
        ("path", r"\[Errno \d{1,3}\] [\w \-]{3,60}: ['\"]([^'\"]{2,300})['\"]"),
        ("run_first", r"\b(?:[Rr]un|RUN) ['\"`]?([a-z][\w\-]{2,100})['\"`]? (?:job )?first\b"),
    )
)
#: Classes whose message is only what another failure said.
WRAPPER_CLASSES: Final = frozenset(
    ("STREAM_FAILED", "TASK_WRITE_FAILED", "FAILED_READ_FILE", "DATA_SOURCE_EXTERNAL_ERROR")
)
SQL_STATE: Final = re.compile(r"SQL ?-?STATE:? ?[0-9A-Z]{5}\b", re.IGNORECASE)
_MESSAGE: Final = re.compile(r"\(http|:? [\w`'\"(<\[]")
_QUOTED_NAME: Final = re.compile(r"`[^`]{1,120}`(?:\.`[^`]{1,120}`){0,3}")
_SUGGESTION: Final = re.compile(
    r"[Dd]id you mean(?: one of the following)?\??:?,? ?(?:to use )?(?:the profile )?"
    r"(?:\[(?P<list>[^\]]{1,600})\]|[\"'`](?P<quoted>[^\"'`]{1,200})[\"'`]|(?P<reference>\$\{[^}]{1,200}\})|(?P<bare>[\w.\-]{1,120}))"
)
_PLACES: Final[tuple[re.Pattern[str], ...]] = (
    re.compile(r"(?<!\w)in (?P<file>[^\s:\"'(),]{1,300}\.\w{1,6}):(?P<line>\d{1,7})(?::(?P<column>\d{1,5}))?"),
    re.compile(r"\bon (?P<file>[^\s:]{1,300}\.tf(?:\.json)?) line (?P<line>\d{1,7})"),
)
_FRAME: Final = re.compile(
    r"File \"?(?P<file><command-\d{1,20}>|[^\s\"<>]{1,400}?|<[^>]{1,60}>)\"?(?:, line |:)(?P<line>\d{1,7})"
    r"|(?<![\w/.])(?P<file_2>/[^\s:\"'(),]{1,300}\.(?:py|sql|scala|r|ipynb)):(?P<line_2>\d{1,7})"
)
_ARROW: Final = re.compile(r"-{2,8}> (?P<line>\d{1,6}) ")
_SQL_PLACE: Final = re.compile(r"\(?line (?P<line>\d{1,7}),? pos(?:ition)? (?P<position>\d{1,7})")
_LIBRARY_FRAME: Final = re.compile(
    r"site-packages|dist-packages|/databricks/(?:python|spark)|/lib/python\d|<frozen|/pyspark/|<stdin>"
)
_LAST_MESSAGE: Final = re.compile(
    r"(?:^|\s)((?:[a-z_]\w{0,40}\.){0,8}[A-Z]\w{1,60}(?:Error|(?<!Python)Exception)): (?!Traceback)(\S.{0,300}?)"
    r"(?: File \"| at [a-z]+\.| Traceback | run page:|$)"
)


@dataclass(frozen=True, slots=True)
class Sign:
    """A place in the flat text that shows a failure; `weight` compares signs with one another."""

    start: int
    end: int
    weight: int


def error_classes(passage: Passage) -> Iterator[tuple[str, int, int]]:
    """Spark and Delta error classes as (class or class.sub, start, end), whether or not a row knows them."""
    for found in _ERROR_CLASS.finditer(passage.flat):
        name = found["a"] or found["b"] or found["c"] or found["d"]
        if name.partition(".")[0] in _NOT_A_CLASS:
            continue
        if found["a"] and not _is_bracketed_class(passage, name, found.start(), found.end()):
            continue
        yield name, found.start(), found.end()


def _is_bracketed_class(passage: Passage, name: str, start: int, end: int) -> bool:
    """Whether `[NAME]` opens a message; tools that mask values write `[NAME]` as well, within or instead of one."""
    text = passage.flat
    if start and (text[start - 1].isalnum() or text[start - 1] in "/\"'=_-.@"):
        return False
    if "_" not in name and "." not in name:
        return _is_single_word_class(text, end)
    if SQL_STATE.search(text, end, end + 1500):
        return True
    return bool(_MESSAGE.match(text, end)) and end < passage.line_bounds(start)[1] - 2


def exception_names(passage: Passage) -> Iterator[tuple[str, int, int]]:
    """Exceptions that were raised (not those that code merely mentions) as (dotted name, start, end)."""
    for found in _EXCEPTION.finditer(passage.flat):
        line = passage.line_bounds(found.start())[0]
        if not _MENTIONED.search(passage.flat, max(line, found.start() - 20), found.start()):
            yield found["exception"], found.start(), found.end()


def entities(passage: Passage, start: int, end: int, *, closely: bool = True) -> dict[str, str]:
    """The named facts around a flat span: those nearest after its line's start win over earlier ones.

    Not `closely` looks a quarter as far, for what stands behind the first diagnosis of a long log.
    """
    text = passage.flat
    share = 1 if closely else 4
    low = max(0, start - _REACH_BACK // share)
    high = min(len(text), end + _REACH_ON // share)
    anchor = passage.line_bounds(start)[0]
    found: dict[str, str] = {}
    for name, regex in _FACTS:
        if name in found:
            continue
        match = regex.search(text, anchor, high) or (regex.search(text, low, anchor + 200) if low < anchor else None)
        if match:
            found[name] = match[match.lastindex or 0].strip()
    for name, value in _class_facts(passage, anchor, low, high):
        found.setdefault(name, value)
    suggested = _SUGGESTION.search(text, anchor, high)
    if suggested:
        found["suggestion"] = _suggestion(suggested)
    for name, value in _place(passage, anchor, low, high).items():
        found.setdefault(name, value)
    raised = _LAST_MESSAGE.search(text, low, high)
    if raised:
        found.setdefault("exception", raised[1])
        found.setdefault("message", raised[2].strip().strip("'\""))
    return found


def best_sign(passage: Passage, skip: tuple[tuple[int, int], ...] = ()) -> Sign | None:
    """The place that shows most clearly that something failed, or None where nothing says so.

    `skip` are flat spans whose lines are already explained. Lines below error level never count.
    """
    best: Sign | None = None
    for sign in _signs(passage):
        if passage.level_at(sign.start) in LOW_LEVELS:
            continue
        low, high = passage.line_bounds(sign.start)
        if any(start < high and end > low for start, end in skip):
            continue
        if best is None or sign.weight > best.weight:
            best = sign
    return best


def lost_task(passage: Passage) -> Sign | None:
    """The first Spark task that is reported as lost, unless tasks or jobs are said to end well too.

    Spark only warns of it, and often it is all that people keep of a failure.
    """
    found = None if _ENDED_WELL.search(passage.flat) else _LOST_TASK.search(passage.flat)
    return Sign(found.start(), found.end(), 30) if found else None


_LOST_TASK: Final = re.compile(
    r"Lost task \d{1,7}\.\d{1,4} in stage \d{1,7}\.\d{1,4} \(TID (?!.{0,120}?TaskKilled).{3,400}"
)
_ENDED_WELL: Final = re.compile(r"Finished task \d|Job \d{1,7} (?:is )?finished|\d tasks? succeeded")
_SIGNS: Final[tuple[tuple[int, re.Pattern[str]], ...]] = tuple(
    (weight, re.compile(regex))
    for weight, regex in (
        (60, r"Caused by: \S.{0,200}"),
        (55, r"(?<![\w.])(?<!as )(?:[Ee]rror|ERROR) ?: (?!0\b|None\b|null\b|\"\"|\[\]|\{\})\S.{0,200}"),
        (54, r"(?<![\w.])Exception: (?!None\b|\[|\()\S.{4,200}"),
        (52, r"panic: .{1,200}"),
        (53, r"Invalid operation: \S.{4,200}"),
        (53, r"Operation failed: \"[^\"]{5,200}\", [45]\d\d"),
        (51, r"[×✗✘] (?:Failed|Could not|No solution|Error|Unable) .{1,200}"),
        (50, r"[Ff]ailed with (?:message|error):? .{1,200}"),
        (45, r"[\"']error_?[Cc]ode[\"']\s?:\s?[\"'][A-Z_]{3,60}.{0,200}"),
        (44, r"(?<![\w.])(?:INVALID_STATE|INVALID_REQUEST|RESOURCE_CONFLICT|FAILED_PRECONDITION): ?[A-Z]\w.{8,200}"),
        (44, r"\"error\"\s?:\s?\"(?=[^\"\\]{3,60} )\w[^|]{8,200}"),
        (42, r"(?:Database|Runtime|Compilation|Parsing|Dependency|DbtDatabase|DbtRuntime) Error(?: in |\s|$).{0,200}"),
        (40, r"[\"']?(?:result_state|life_cycle_state)[\"']?\s?[:=]\s?[\"']?(?:FAILED|INTERNAL_ERROR|TIMEDOUT)"),
        (38, r"TERMINATED FAILED|Update \w{1,60} (?:is FAILED|has FAILED|failed)"),
        (37, r"(?<!\d)\d{1,5} of \d{1,5} (?:ERROR|FAIL) (?:\d{1,9} )?\w.{0,200}|Unhandled error while executing"),
        (36, r"[Ff]ailed (?:with exit (?:code|status):?|and exited with) [1-9]\d{0,2}\b"),
        (35, r"Exit code: [1-9]\d{0,2}\b|exit status [1-9]\d{0,2}\b"),
        (35, r"SQLSTATE: [0-9A-Z]{5}"),
        (
            34,
            r"(?<![\w.=])ERROR\b[ :\-\]]{1,4}(?:\S{1,60} ){0,4}?"
            r"(?:[Ff]ailed|[Cc]annot|[Cc]ould not|[Uu]nable) .{1,200}",
        ),
        (33, r"(?<!\w)(?:Failed|Unable) to (?!fully)[a-z]\w{2,20} \S.{6,200}|finished with errors"),
        (33, r"Query \[id = [^\]]{10,160}\] terminated with (?:error|exception)"),
        (32, r"(?<!\w)[Aa]n (?:unexpected )?error occurred (?:\(\w{3,60}\) )?(?:while|during|when|in) \S.{4,200}"),
        (31, r"(?<!\w)Error in [\w.:$]{1,60}\(.{4,200}|[Yy]ou hit a bug in Spark .{4,200}"),
        (32, r"(?<![\w.])ERROR:[\w.]{1,120}:.{0,80}?(?:[Ee]rror|[Ee]xception|[Ff]ailed)\b.{0,200}"),
        (28, r"[A-Z]\w{2,80}(?:Error|Exception|Failure) Traceback \(most recent call last\)"),
        (29, r"(?:^|\n|\| )\[ERROR\] [A-Z]\w{1,20} \w.{8,200}"),
        (30, r"\bFATAL\b.{1,200}|\bCRITICAL\b.{1,200}"),
    )
)


def _signs(passage: Passage) -> Iterator[Sign]:
    for name, start, end in error_classes(passage):
        yield Sign(start, passage.line_bounds(start)[1] if end else end, 70 if "." in name or "_" in name else 58)
    for position, (_, start, end) in enumerate(exception_names(passage)):
        if not passage.flat.startswith(("Traceback", "at "), start):
            yield Sign(start, min(end + 300, max(end, passage.line_bounds(start)[1])), 57 - min(position, 6))
    for weight, regex in _SIGNS:
        last = None
        position = 0
        while (found := regex.search(passage.flat, position)) is not None:
            if passage.level_at(found.start()) in LOW_LEVELS:
                # What a debug line says may run on into the line that fails.
                position = max(passage.line_bounds(found.start())[1], found.start() + 1)
                continue
            last = Sign(found.start(), found.end(), weight)
            if weight != 60:
                break
            position = max(found.end(), found.start() + 1)
        if last is not None:
            yield last


def _is_single_word_class(text: str, end: int) -> bool:
    return bool(re.match(r" [A-Z][a-z].{5,}", text[end : end + 60])) and "SQLSTATE" in text[end : end + 3000]


def _class_facts(passage: Passage, anchor: int, low: int, high: int) -> Iterator[tuple[str, str]]:
    before: str | None = None
    place = anchor
    for name, start, _ in error_classes(passage):
        if start > high:
            break
        if start >= low:
            before, place = name, start
        if start >= anchor:
            break
    if before:
        yield "error_class", before
        head, _, sub = before.partition(".")
        yield "class_name", head
        if sub:
            yield "subclass", sub
        names = [found[0].replace("`", "") for found in _QUOTED_NAME.finditer(passage.flat, place, place + 800)]
        for position, name in enumerate(dict.fromkeys(names[:4])):
            yield ("name" if not position else f"name_{position + 1}"), name


def _suggestion(found: re.Match[str]) -> str:
    value = found["list"] or found["quoted"] or found["reference"] or found["bare"] or ""
    return ", ".join(part.strip().replace("`", "").strip("'\"") for part in value.split(",") if part.strip())


def _place(passage: Passage, anchor: int, low: int, high: int) -> dict[str, str]:
    text = passage.flat
    for regex in _PLACES:
        found = regex.search(text, anchor, high) or regex.search(text, low, high)
        if found:
            return {key: value for key, value in found.groupdict().items() if value}
    place: dict[str, str] = {}
    sql = _SQL_PLACE.search(text, anchor, high)
    if sql:
        place.update(line=sql["line"], position=sql["position"])
    frames = [
        (found["file"] or found["file_2"], found["line"] or found["line_2"])
        for found in _FRAME.finditer(text, low, high)
    ]
    own = [frame for frame in frames if not _LIBRARY_FRAME.search(frame[0])] or frames
    if own:
        # Innermost frame of the user's own code: where an edit can help.
        place.setdefault("file", own[-1][0])
        place.setdefault("line", own[-1][1])
    arrow = _ARROW.search(text, low, high)
    if arrow:
        place.setdefault("line", arrow["line"])
    return place
