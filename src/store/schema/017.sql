-- Of a canary: the step that it is at, and how many there are. And what somebody asked of a deployment whose next colour waits:
-- a word, a reason, a time.
ALTER TABLE rollouts ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollouts ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollouts ADD COLUMN asked TEXT;
ALTER TABLE rollouts ADD COLUMN asked_why TEXT;
ALTER TABLE rollouts ADD COLUMN asked_until INTEGER;
