-- What a repository that is deployed blue/green has: one row a colour. `standing` takes any word; `made` is what brings the
-- colour back without git and without a build, as JSON of the deployer's own.
CREATE TABLE colours (
  repo       TEXT NOT NULL,
  colour     TEXT NOT NULL,
  project    TEXT NOT NULL,
  standing   TEXT NOT NULL,
  generation INTEGER NOT NULL,
  deployment INTEGER,
  commit_id  TEXT,
  since      INTEGER NOT NULL,
  made       TEXT NOT NULL,
  PRIMARY KEY (repo, colour)
);

-- One a repository: the COLOR that what stays is read with, for ever; and how far its routes have come, as the proxy has
-- confirmed it.
CREATE TABLE switches (
  repo       TEXT PRIMARY KEY,
  staying    TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  revision   INTEGER NOT NULL DEFAULT 0
);

-- Loopback ports on which containers of a colour are reached: chosen once, of several replicas the first of as many.
CREATE TABLE loopback_ports (
  first   INTEGER PRIMARY KEY,
  count   INTEGER NOT NULL,
  repo    TEXT NOT NULL,
  colour  TEXT NOT NULL,
  service TEXT NOT NULL,
  port    INTEGER NOT NULL,
  UNIQUE (repo, colour, service, port)
);

-- Commits that a way back has taken away: not deployed again unless somebody asks for it.
CREATE TABLE reverted (
  repo      TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  why       TEXT NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (repo, commit_id)
);

-- Both colours run until then.
ALTER TABLE rollouts ADD COLUMN bake_until INTEGER;
ALTER TABLE rollouts ADD COLUMN bake_generation INTEGER;
-- The deployment brings back what was live before, without git and without a build.
ALTER TABLE deployments ADD COLUMN back INTEGER NOT NULL DEFAULT 0;
