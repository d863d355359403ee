-- Where the rollout of each repository stands. `phase` takes whatever name a later turnout has for a state; none: nothing is
-- under way. `due_at`: when something must have happened, where a fact from outside is waited for.
CREATE TABLE rollouts (
  repo       TEXT PRIMARY KEY,
  generation INTEGER NOT NULL,
  deployment INTEGER,
  phase      TEXT,
  plans      INTEGER NOT NULL,
  losses     INTEGER NOT NULL,
  due_at     INTEGER,
  -- The generation whose success is watched, where one is (`watches`).
  watched    INTEGER
) WITHOUT ROWID;
