BEGIN TRANSACTION;
CREATE TABLE durations (
      ref TEXT NOT NULL, task_key TEXT NOT NULL, run_id TEXT NOT NULL, ms INTEGER NOT NULL, outcome TEXT NOT NULL,
      ended_ms INTEGER NOT NULL, PRIMARY KEY (run_id, task_key));
INSERT INTO "durations" VALUES('jobs.nightly','','369474618062682',40073,'failed',1795608715777);
INSERT INTO "durations" VALUES('jobs.nightly','customers','579189874300005',26773,'succeeded',1795608702477);
INSERT INTO "durations" VALUES('jobs.nightly','orders','938212704792372',13000,'failed',1795608715477);
CREATE TABLE events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, loop_id TEXT, name TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE learned (
      id INTEGER PRIMARY KEY, at TEXT NOT NULL, cause TEXT NOT NULL, row TEXT NOT NULL, evidence TEXT NOT NULL,
      fix TEXT NOT NULL, outcome TEXT NOT NULL, iterations INTEGER NOT NULL);
CREATE TABLE loops (
      loop_id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT, outcome TEXT, iterations INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT '{}', record TEXT);
INSERT INTO "loops" VALUES('dd1b62b9ee00','2026-11-25T11:02:23Z',NULL,NULL,1,'{"goals": [{"ref": "jobs.nightly", "after": [], "state": "failed", "run_id": "369474618062682", "repairable": true}], "stage": "diagnose", "iteration": 1, "max_iterations": 3, "deploy_first": true, "auto": true, "identified": true, "undiagnosed": ["jobs.nightly"], "pending_edit": false, "paused": "", "deferred": [], "reached": ["deploy"], "failed_stage": "poll", "note": "", "outcome": null}','{"loop_id": "dd1b62b9ee00", "bundle": "retail_lakehouse", "target": "dev", "host": "https://example.com", "user": "you@example.com", "profile": "", "keys": ["jobs.nightly"], "outcome": "", "reason": "", "started": "2026-11-25T11:02:23Z", "ended": "", "rounds": [], "starts": [{"ref": "jobs.nightly", "kind": "run", "run_id": "369474618062682", "url": "https://example.com/jobs/638505703501241/runs/369474618062682?o=900800700600"}]}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('bundle','retail_lakehouse');
INSERT INTO "meta" VALUES('root','/bundle');
INSERT INTO "meta" VALUES('target','dev');
CREATE TABLE operations (
      op_id INTEGER PRIMARY KEY AUTOINCREMENT, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL,
      token TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '',
      user TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '', intent_at TEXT NOT NULL,
      intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
INSERT INTO "operations" VALUES(1,'dd1b62b9ee00','deploy','retail_lakehouse','1dc930430db581bf65f8feeac1a2475b','https://example.com','dev','you@example.com','databricks bundle deploy -t dev','2026-11-25T11:02:23Z','{"source": "ea35f4d3bb55b360524336d10b854da638573a9dd7e552778afb311b35f174be", "iteration": 1, "mark": "none"}','2026-11-25T11:02:23Z','done','{}');
INSERT INTO "operations" VALUES(2,'dd1b62b9ee00','run','jobs.nightly','a44948ab434d809908f2ce63fa3ea72c','https://example.com','dev','you@example.com','databricks bundle run --no-wait -t dev nightly','2026-11-25T11:02:23Z','{"iteration": 1, "resource_id": "638505703501241", "known": []}','2026-11-25T11:02:23Z','done','{"run_id": "369474618062682", "url": "https://example.com/jobs/638505703501241/runs/369474618062682?o=900800700600"}');
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
INSERT INTO "outputs" VALUES('938212704792372','2026-11-25T11:02:23Z','{"run_id": "938212704792372", "error": "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `regionn` cannot be resolved. Did you mean one of the following? [`region`, `reason`, `segment`]. SQLSTATE: 42703", "error_trace": "---------------------------------------------------------------------------\nAnalysisException                         Traceback (most recent call last)\nFile <command-100747415055000>, line 3\n      1 import json\n      2 \n----> 3 rows = spark.read.table(\"orders\").select(\"customer_id\", \"regionn\")\n      4 rows.write.mode(\"overwrite\").saveAsTable(\"clean\")\n      5 dbutils.notebook.exit(json.dumps({\"status\": \"SUCCESS\", \"rows\": 7}))\n\nFile /databricks/python/lib/python3.12/site-packages/pyspark/sql/connect/dataframe.py:1742, in DataFrame.schema(self)\n   1742     return self._session.client.schema(query)\n\nAnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `regionn` cannot be resolved. Did you mean one of the following? [`region`, `reason`, `segment`]. SQLSTATE: 42703", "result": "", "logs": "", "result_truncated": false, "logs_truncated": false, "child_run_id": "", "extra": {}}');
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
CREATE INDEX operations_open ON operations (outcome, op_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('operations',2);
COMMIT;
PRAGMA user_version=1;
