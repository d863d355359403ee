-- 1: this very commit (wanted_commit, as it was asked for) is deployed, not what the branch has by then.
ALTER TABLE deployments ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- 1: a second stack beside a former one of the same repository was asked for.
ALTER TABLE deployments ADD COLUMN new_stack INTEGER NOT NULL DEFAULT 0;

-- Repositories whose pushes wait. What was pushed last meanwhile stands beside it.
CREATE TABLE holds (
  repo         TEXT PRIMARY KEY,
  who          TEXT,
  since        INTEGER NOT NULL,
  held_commit  TEXT,
  newest       TEXT,
  newest_cause TEXT,
  newest_at    INTEGER
) WITHOUT ROWID;
