-- The newest commit of each repository that a push wanted and no deployment has brought yet. `before` is the number that
-- no deployment had reached when it was wanted: one with a smaller number began without it.
CREATE TABLE wanted (
  repo      TEXT PRIMARY KEY,
  commit_id TEXT NOT NULL,
  branch    TEXT,
  cause     TEXT NOT NULL,
  since     INTEGER NOT NULL,
  before    INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO wanted (repo, commit_id, branch, cause, since, before)
  SELECT repo, wanted_commit, branch, cause, created_at, id FROM deployments push
  WHERE id = (SELECT max(id) FROM deployments newest WHERE newest.repo = push.repo AND newest.kind = 'push')
    AND wanted_commit IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM deployments later WHERE later.repo = push.repo AND later.state = 'succeeded'
      AND (later.commit_after = push.wanted_commit OR (later.id >= push.id AND later.pinned = 0)));
