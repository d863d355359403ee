-- Projects that are watched on after the verdict of a deployment: from the last look before it to `until`.
CREATE TABLE watches (
  repo       TEXT PRIMARY KEY,
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  project    TEXT NOT NULL,
  since      INTEGER NOT NULL,
  until      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX watches_by_deployment ON watches (deployment);

-- Containers that fell over after the verdict of a deployment. `after` and `mended` are milliseconds since the verdict,
-- `seen` is the engine's time of the last event that is counted in, in nanoseconds.
CREATE TABLE falls (
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  container  TEXT NOT NULL,
  after      INTEGER NOT NULL,
  said       TEXT NOT NULL,
  times      INTEGER NOT NULL,
  mended     INTEGER,
  seen       INTEGER NOT NULL,
  PRIMARY KEY (deployment, container)
) WITHOUT ROWID;
