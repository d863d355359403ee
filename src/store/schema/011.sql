-- What somebody outside is to be told, until that has been done. `event` is the one that it tells of; none: of several that
-- were forgotten. A letter with `dead_at` is not tried any more.
CREATE TABLE outbox (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  destination TEXT NOT NULL,
  event       INTEGER,
  payload     TEXT NOT NULL,
  written_at  INTEGER NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,
  due_at      INTEGER NOT NULL,
  last_error  TEXT,
  dead_at     INTEGER
);

CREATE INDEX outbox_due ON outbox (destination, due_at, id) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (id) WHERE dead_at IS NOT NULL;
