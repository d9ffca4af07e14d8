-- A journal as schema 1 left it: a loop in its second round, a deploy that ended, a run whose end is not known.
BEGIN TRANSACTION;
CREATE TABLE durations (
      ref TEXT NOT NULL, task_key TEXT NOT NULL, run_id TEXT NOT NULL, ms INTEGER NOT NULL, outcome TEXT NOT NULL,
      ended_ms INTEGER NOT NULL, PRIMARY KEY (run_id, task_key));
INSERT INTO "durations" VALUES('jobs.nightly','','70',61000,'succeeded',1790000000000);
CREATE TABLE events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, loop_id TEXT, name TEXT NOT NULL, data TEXT NOT NULL);
INSERT INTO "events" VALUES(1,'2026-11-24T09:53:50Z','2b1f0c','stage.changed','{"stage": "poll"}');
CREATE TABLE learned (
      id INTEGER PRIMARY KEY, at TEXT NOT NULL, cause TEXT NOT NULL, row TEXT NOT NULL, evidence TEXT NOT NULL,
      fix TEXT NOT NULL, outcome TEXT NOT NULL, iterations INTEGER NOT NULL);
CREATE TABLE loops (
      loop_id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT, outcome TEXT, iterations INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT '{}', record TEXT);
INSERT INTO "loops" VALUES('2b1f0c','2026-11-24T09:53:50Z',NULL,NULL,2,'{"stage": "poll", "iteration": 2, "goals": [{"ref": "jobs.nightly", "state": "running", "run_id": "71"}]}',NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('root','/repo/retail');
INSERT INTO "meta" VALUES('target','dev');
CREATE TABLE operations (
      op_id INTEGER PRIMARY KEY AUTOINCREMENT, loop_id TEXT, kind TEXT NOT NULL, key TEXT NOT NULL,
      token TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', target TEXT NOT NULL DEFAULT '',
      user TEXT NOT NULL DEFAULT '', command TEXT NOT NULL DEFAULT '', intent_at TEXT NOT NULL,
      intent TEXT NOT NULL DEFAULT '{}', result_at TEXT, outcome TEXT, result TEXT);
INSERT INTO "operations" VALUES(1,'2b1f0c','deploy','bundle','','https://dev.example.com','dev','you@example.com','databricks bundle deploy -t dev','2026-11-24T09:53:50Z','{}','2026-11-24T09:53:50Z','done','{"files": 3}');
INSERT INTO "operations" VALUES(2,'2b1f0c','run','jobs.nightly','7d0c','https://dev.example.com','dev','','databricks bundle run --no-wait -t dev nightly','2026-11-24T09:53:50Z','{}',NULL,NULL,NULL);
CREATE TABLE outputs (task_run_id TEXT PRIMARY KEY, at TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_loop ON events (loop_id, seq);
CREATE INDEX durations_ref ON durations (ref, task_key, ended_ms);
CREATE INDEX operations_open ON operations (outcome, op_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('operations',2);
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
PRAGMA user_version=1;
