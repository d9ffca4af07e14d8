BEGIN TRANSACTION;
CREATE TABLE durations (
      ref TEXT NOT NULL, task_key TEXT NOT NULL, run_id TEXT NOT NULL, ms INTEGER NOT NULL, outcome TEXT NOT NULL,
      ended_ms INTEGER NOT NULL, PRIMARY KEY (run_id, task_key));
CREATE TABLE events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, loop_id TEXT, name TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE learned (
      id INTEGER PRIMARY KEY, at TEXT NOT NULL, cause TEXT NOT NULL, row TEXT NOT NULL, evidence TEXT NOT NULL,
      fix TEXT NOT NULL, outcome TEXT NOT NULL, iterations INTEGER NOT NULL);
CREATE TABLE loops (
      loop_id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT, outcome TEXT, iterations INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT '{}', record TEXT);
INSERT INTO "loops" VALUES('1f1f4c15d945','2026-11-25T11:02:34Z',NULL,NULL,1,'{"goals": [{"ref": "pipelines.live", "after": [], "state": "failed", "run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "repairable": false}], "stage": "fix", "iteration": 1, "max_iterations": 3, "deploy_first": true, "auto": true, "identified": true, "undiagnosed": [], "pending_edit": false, "paused": "", "deferred": [], "reached": ["deploy", "diagnose"], "failed_stage": "poll", "note": "", "outcome": null}','{"loop_id": "1f1f4c15d945", "bundle": "retail_lakehouse", "target": "dev", "host": "https://example.com", "user": "you@example.com", "profile": "", "keys": ["pipelines.live"], "outcome": "", "reason": "", "started": "2026-11-25T11:02:34Z", "ended": "", "rounds": [{"iteration": 1, "errors": [{"ref": "pipelines.live", "message": "Flow ''main.shop.clean_orders'' has FAILED fatally. An error occurred because we failed to resolve the query.\norg.apache.spark.sql.AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `regionn` cannot be resolved. Did you mean one of the following? [`region`, `reason`, `segment`]. SQLSTATE: 42703", "run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "task_key": "main.shop.clean_orders", "task_run_id": "", "url": "https://example.com/pipelines/cbc8e8ee-145b-4731-8ee7-ea4963324db9?w=900800700600", "diagnosis": {"cause": "unresolved_column", "row": "families.unresolved_column", "category": "spark_sql", "confidence": 0.94, "title": "The column does not resolve", "explanation": "A column or parameter name in the query matches nothing in its inputs. Spark suggests region, reason, segment.", "evidence": [{"line": 2, "text": "org.apache.spark.sql.AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `regionn` cannot be resolved. Did you mean one of the following? [`region`, `reason`, `segment`]. SQLSTATE: 42703"}], "entities": {"sqlstate": "42703", "flow": "main.shop.clean_orders", "error_class": "UNRESOLVED_COLUMN.WITH_SUGGESTION", "class_name": "UNRESOLVED_COLUMN", "subclass": "WITH_SUGGESTION", "name": "regionn", "name_2": "region", "name_3": "reason", "name_4": "segment", "suggestion": "region, reason, segment", "exception": "org.apache.spark.sql.AnalysisException", "message": "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `regionn` cannot be resolved. Did you mean one of the following? [`region`, `reason`, `segment`]. SQLSTATE: 42703", "task": "main.shop.clean_orders", "resource": "pipelines.live"}, "location": {"file": "src/silver/flows/orders.py", "line": 6, "column": null}, "retryable": false, "destructive": false, "fixes": [{"kind": "edit", "title": "Correct the name; the message suggests region, reason, segment", "patch": null, "command": null, "risk": null, "confidence": 0.0, "wait_seconds": null, "resource_key": null}], "check_sql": "", "docs_url": "https://docs.databricks.com/aws/en/error-messages/error-classes", "task_keys": ["main.shop.clean_orders"], "also_at": []}}], "fixes": []}], "starts": [{"ref": "pipelines.live", "kind": "update", "run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "url": "https://example.com/#joblist/pipelines/cbc8e8ee-145b-4731-8ee7-ea4963324db9/updates/d30d1710-5c8b-4f34-816b-26c1d8447465"}]}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('bundle','retail_lakehouse');
INSERT INTO "meta" VALUES('root','/bundle');
INSERT INTO "meta" VALUES('target','dev');
CREATE TABLE operations (
      op_id INTEGER PRIMARY KEY AUTOINCREMENT, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL,
      token TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '',
      user TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '', intent_at TEXT NOT NULL,
      intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
INSERT INTO "operations" VALUES(1,'1f1f4c15d945','deploy','retail_lakehouse','2e3b5411bb3108c7bd555d50e7f4b0cb','https://example.com','dev','you@example.com','databricks bundle deploy -t dev','2026-11-25T11:02:34Z','{"source": "053bb78f719488dd3d3cf60638532cc7bcd4f657b64d551cab378ef99bc4fa5d", "iteration": 1, "mark": "none"}','2026-11-25T11:02:34Z','done','{}');
INSERT INTO "operations" VALUES(2,'1f1f4c15d945','update','pipelines.live','0ec459837283eaaca6d7facf54f019da','https://example.com','dev','you@example.com','databricks bundle run --no-wait -t dev live','2026-11-25T11:02:35Z','{"iteration": 1, "resource_id": "cbc8e8ee-145b-4731-8ee7-ea4963324db9", "known": []}','2026-11-25T11:02:35Z','done','{"run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "url": "https://example.com/#joblist/pipelines/cbc8e8ee-145b-4731-8ee7-ea4963324db9/updates/d30d1710-5c8b-4f34-816b-26c1d8447465"}');
INSERT INTO "operations" VALUES(3,'1f1f4c15d945','fixer','python -ISE /folder/fixer.py','72624d3846291a3a66ddf9fc8541ed0a','https://example.com','dev','you@example.com','python -ISE /folder/fixer.py','2026-11-25T11:02:35Z','{"iteration": 1}',NULL,NULL,NULL);
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
CREATE INDEX operations_open ON operations (outcome, op_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('operations',3);
COMMIT;
PRAGMA user_version=1;
