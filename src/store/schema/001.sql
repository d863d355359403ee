-- Times are milliseconds since 1970, UTC.

CREATE TABLE deployments (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  repo          TEXT NOT NULL,
  project       TEXT,
  branch        TEXT,
  wanted_commit TEXT,
  kind          TEXT NOT NULL,
  cause         TEXT NOT NULL,
  who           TEXT,
  force_rebuild INTEGER NOT NULL DEFAULT 0,
  state         TEXT NOT NULL CHECK (state IN
                  ('queued', 'running', 'succeeded', 'failed', 'superseded', 'cancelled', 'interrupted')),
  phase         TEXT,
  commit_before TEXT,
  commit_after  TEXT,
  commit_base   TEXT,
  decision      TEXT,
  plan          TEXT,
  error         TEXT,
  superseded_by INTEGER,
  retry_of      INTEGER,
  attempt       INTEGER NOT NULL DEFAULT 1,
  created_at    INTEGER NOT NULL,
  started_at    INTEGER,
  ended_at      INTEGER
);

-- One lane a repository: at most one waits and at most one runs.
CREATE UNIQUE INDEX deployments_one_queued  ON deployments (repo) WHERE state = 'queued';
CREATE UNIQUE INDEX deployments_one_running ON deployments (repo) WHERE state = 'running';
CREATE INDEX deployments_by_repo ON deployments (repo, id);

CREATE TABLE phases (
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  number     INTEGER NOT NULL,
  name       TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  PRIMARY KEY (deployment, number)
) WITHOUT ROWID;

CREATE TABLE log_lines (
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  source     TEXT,
  text       TEXT NOT NULL,
  PRIMARY KEY (deployment, seq)
) WITHOUT ROWID;

-- Outlives the deployments that it names: the base of the next diff must not be pruned.
CREATE TABLE successes (
  repo       TEXT NOT NULL,
  project    TEXT NOT NULL,
  commit_id  TEXT NOT NULL,
  deployment INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (repo, project)
) WITHOUT ROWID;

CREATE TABLE deliveries (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  forge        TEXT NOT NULL,
  guid         TEXT,
  event        TEXT NOT NULL,
  repo         TEXT,
  git_ref      TEXT,
  commit_id    TEXT,
  pusher       TEXT,
  digest       BLOB NOT NULL,
  verdict      TEXT NOT NULL,
  reason       TEXT NOT NULL,
  received_at  INTEGER NOT NULL,
  -- Set only on the delivery that led to it; repeats name it in duplicate_of.
  deployment   INTEGER,
  duplicate_of INTEGER
);

CREATE INDEX deliveries_by_guid   ON deliveries (guid)   WHERE deployment IS NOT NULL AND guid IS NOT NULL;
CREATE INDEX deliveries_by_digest ON deliveries (digest) WHERE deployment IS NOT NULL;
