-- From where each project was brought up, whether or not that succeeded: a repository is known by it under another name.
CREATE TABLE places (
  repo    TEXT NOT NULL,
  project TEXT NOT NULL,
  path    TEXT NOT NULL,
  remote  TEXT,
  at      INTEGER NOT NULL,
  PRIMARY KEY (repo, project)
) WITHOUT ROWID;
