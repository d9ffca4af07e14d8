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
INSERT INTO "loops" VALUES('89ebfc2c5769','2026-11-25T11:02:17Z',NULL,NULL,1,'{"goals": [{"ref": "jobs.nightly", "after": [], "state": "waiting", "run_id": "", "repairable": false}], "stage": "deploy", "iteration": 1, "max_iterations": 3, "deploy_first": true, "auto": true, "identified": true, "undiagnosed": [], "pending_edit": false, "paused": "", "deferred": [], "reached": [], "failed_stage": null, "note": "", "outcome": null}','{"loop_id": "89ebfc2c5769", "bundle": "retail_lakehouse", "target": "dev", "host": "https://example.com", "user": "you@example.com", "profile": "", "keys": ["jobs.nightly"], "outcome": "", "reason": "", "started": "2026-11-25T11:02:17Z", "ended": "", "rounds": [], "starts": []}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('bundle','retail_lakehouse');
INSERT INTO "meta" VALUES('root','/bundle');
INSERT INTO "meta" VALUES('target','dev');
CREATE TABLE operations (
      op_id INTEGER PRIMARY KEY AUTOINCREMENT, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL,
      token TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '',
      user TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '', intent_at TEXT NOT NULL,
      intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
INSERT INTO "operations" VALUES(1,'89ebfc2c5769','deploy','retail_lakehouse','9773bd9af5402784ec65cea51e91db3a','https://example.com','dev','you@example.com','databricks bundle deploy -t dev','2026-11-25T11:02:17Z','{"source": "ea35f4d3bb55b360524336d10b854da638573a9dd7e552778afb311b35f174be", "iteration": 1, "mark": "none"}',NULL,NULL,NULL);
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
CREATE INDEX operations_open ON operations (outcome, op_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('operations',1);
COMMIT;
PRAGMA user_version=1;
