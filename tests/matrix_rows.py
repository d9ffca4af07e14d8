"""Small matrices for tests, so that engine tests do not depend on the built-in rows. Holds no test itself."""

from __future__ import annotations

from dbops_tui.matrix.matcher import Matrix
from dbops_tui.matrix.schema import parse_rows

ROWS = r"""
- id: sql.column
  cause: unresolved_column
  title: "Column {column} does not exist"
  explanation: "The query names {column}. Spark suggests {suggestion}."
  match:
    error_classes: [UNRESOLVED_COLUMN]
    patterns:
      - {regex: "cannot resolve <<quoted:column>> given input columns", strength: exact}
      - {regex: "with name <<name:column>> cannot be resolved", strength: exact}
  fixes: [{kind: edit, title: "Use {suggestion}"}]
  examples: [{text: "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `a` cannot be resolved."}]
- id: sql.table
  cause: table_not_found
  title: "Table {table} does not exist"
  explanation: "Nothing is called {table}."
  match:
    error_classes: [TABLE_OR_VIEW_NOT_FOUND]
    patterns: [{regex: "table or view not found: <<name:table>>", strength: exact}]
  fixes: [{kind: run, title: "Create it"}]
  examples: [{text: "Table or view not found: a.b"}]
- id: python.module
  cause: missing_python_module
  title: "Module {module} is not installed"
  explanation: "Python found no {module}."
  match:
    exceptions: [ModuleNotFoundError]
    patterns: [{regex: "No module named <<quoted:module>>", strength: exact}]
  fixes: [{kind: yaml, title: "Add {module}", command: "pip install {module}"}]
  examples: [{text: "ModuleNotFoundError: No module named 'x'"}]
- id: python.user
  cause: user_code_exception
  title: "{exception} in the user's code"
  explanation: "The code raised {exception}."
  strength: hint
  match: {exceptions: [ValueError, RuntimeError]}
  fixes: [{kind: edit, title: "Correct it"}]
  examples: [{text: "ValueError: no"}]
- id: cluster.init
  cause: init_script_failed
  title: "Init script {script} failed"
  explanation: "Init script {script} failed."
  match:
    codes: [INIT_SCRIPT_FAILURE]
    patterns: [{regex: "init script <<path:script>> failed", strength: exact}]
  fixes: [{kind: manual, title: "Read its log"}]
  examples: [{text: "x", structured: {termination_code: INIT_SCRIPT_FAILURE}}]
- id: jobs.workload
  cause: upstream_failed
  cascade: true
  title: "Another task failed"
  explanation: "See the other task."
  match: {patterns: [{literal: "Workload failed, see run output", strength: exact}]}
  examples: [{text: "Task a failed with message: Workload failed, see run output for details"}]
- id: api.rate
  cause: rate_limited
  title: "Too many requests"
  explanation: "Wait."
  retryable: true
  match: {patterns: [{literal: "429 Too Many Requests", strength: exact}]}
  fixes: [{kind: retry, title: "Wait", wait_seconds: 30}]
  examples: [{text: "Error: 429 Too Many Requests"}]
- id: bundle.field
  cause: unknown_config_field
  warning: true
  title: "Unknown field {field}"
  explanation: "No field is called {field}."
  match: {patterns: [{regex: "unknown field: <<word:field>>", strength: exact}]}
  fixes: [{kind: yaml, title: "Rename {field}"}]
  examples: [{text: "Warning: unknown field: foo"}]
- id: noise.stop
  cause: none
  benign: true
  title: "Cluster stopped since nobody used it"
  explanation: "No failure."
  match: {patterns: [{literal: "Inactive cluster terminated", strength: exact}]}
  examples: [{text: "Error: Inactive cluster terminated (INIT_SCRIPT_FAILURE)"}]
"""


def small_matrix() -> Matrix:
    """A matrix of nine rows."""
    return Matrix(parse_rows(ROWS, file="small.yaml"))
