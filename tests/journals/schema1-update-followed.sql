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
INSERT INTO "loops" VALUES('dc5be68d9d1f','2026-11-25T11:02:33Z',NULL,NULL,1,'{"goals": [{"ref": "pipelines.live", "after": [], "state": "running", "run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "repairable": false}], "stage": "poll", "iteration": 1, "max_iterations": 3, "deploy_first": true, "auto": true, "identified": true, "undiagnosed": [], "pending_edit": false, "paused": "", "deferred": [], "reached": ["deploy"], "failed_stage": null, "note": "", "outcome": null}','{"loop_id": "dc5be68d9d1f", "bundle": "retail_lakehouse", "target": "dev", "host": "https://example.com", "user": "you@example.com", "profile": "", "keys": ["pipelines.live"], "outcome": "", "reason": "", "started": "2026-11-25T11:02:33Z", "ended": "", "rounds": [], "starts": [{"ref": "pipelines.live", "kind": "update", "run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "url": "https://example.com/#joblist/pipelines/cbc8e8ee-145b-4731-8ee7-ea4963324db9/updates/d30d1710-5c8b-4f34-816b-26c1d8447465"}]}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('bundle','retail_lakehouse');
INSERT INTO "meta" VALUES('root','/bundle');
INSERT INTO "meta" VALUES('target','dev');
CREATE TABLE operations (
      op_id INTEGER PRIMARY KEY AUTOINCREMENT, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL,
      token TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '',
      user TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '', intent_at TEXT NOT NULL,
      intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
INSERT INTO "operations" VALUES(1,'dc5be68d9d1f','deploy','retail_lakehouse','8ce5e80717bfc538acbd0ebc9cf6b952','https://example.com','dev','you@example.com','databricks bundle deploy -t dev','2026-11-25T11:02:33Z','{"source": "053bb78f719488dd3d3cf60638532cc7bcd4f657b64d551cab378ef99bc4fa5d", "iteration": 1, "mark": "none"}','2026-11-25T11:02:33Z','done','{}');
INSERT INTO "operations" VALUES(2,'dc5be68d9d1f','update','pipelines.live','403dc66a3ca2f839b9dd326316f045e1','https://example.com','dev','you@example.com','databricks bundle run --no-wait -t dev live','2026-11-25T11:02:34Z','{"iteration": 1, "resource_id": "cbc8e8ee-145b-4731-8ee7-ea4963324db9", "known": []}','2026-11-25T11:02:34Z','done','{"run_id": "d30d1710-5c8b-4f34-816b-26c1d8447465", "url": "https://example.com/#joblist/pipelines/cbc8e8ee-145b-4731-8ee7-ea4963324db9/updates/d30d1710-5c8b-4f34-816b-26c1d8447465"}');
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
CREATE INDEX operations_open ON operations (outcome, op_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('operations',2);
COMMIT;
PRAGMA user_version=1;
