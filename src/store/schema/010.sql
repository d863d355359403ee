-- What happened, in the order in which it became true, each row written with what it tells of. `kind` takes whatever name a
-- later turnout has for something; one that does not know it skips it. `body` is JSON.
CREATE TABLE journal (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  repo       TEXT,
  deployment INTEGER,
  kind       TEXT NOT NULL,
  version    INTEGER NOT NULL,
  body       TEXT NOT NULL
);

CREATE INDEX journal_by_deployment ON journal (deployment) WHERE deployment IS NOT NULL;
CREATE INDEX journal_by_age ON journal (at) WHERE deployment IS NULL;
-- Of how far logs are written, the newest word is kept.
CREATE UNIQUE INDEX journal_log_written ON journal (deployment) WHERE kind = 'log_written';

-- Up to which event some are not there any more.
CREATE TABLE journal_forgotten (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  upto INTEGER NOT NULL
);
INSERT INTO journal_forgotten (one, upto) VALUES (1, 0);

-- How far those have read who must not miss anything over a crash.
CREATE TABLE cursors (
  name  TEXT PRIMARY KEY,
  event INTEGER NOT NULL,
  at    INTEGER NOT NULL
) WITHOUT ROWID;
