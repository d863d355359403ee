-- What is watched after the verdict of a success stands in its rollout: of which deployment (`watched` is its generation), which
-- project, from the last look before the verdict to `watch_until`.
ALTER TABLE rollouts ADD COLUMN watch_deployment INTEGER;
ALTER TABLE rollouts ADD COLUMN watch_project TEXT;
ALTER TABLE rollouts ADD COLUMN watch_since INTEGER;
ALTER TABLE rollouts ADD COLUMN watch_until INTEGER;

-- One that began before there were rollouts has none.
INSERT INTO rollouts (repo, generation, plans, losses)
  SELECT repo, 0, 0, 0 FROM watches WHERE repo NOT IN (SELECT repo FROM rollouts);
UPDATE rollouts SET (watch_deployment, watch_project, watch_since, watch_until) =
  (SELECT deployment, project, since, until FROM watches WHERE watches.repo = rollouts.repo);
UPDATE rollouts SET watched = CASE WHEN watch_until IS NULL THEN NULL ELSE coalesce(watched, generation) END;
DROP TABLE watches;
