-- For what a deployment waits, and what to do if that is in vain: of one in whose phase nobody works on it, all that there is.
ALTER TABLE rollouts ADD COLUMN waits_for TEXT;
ALTER TABLE rollouts ADD COLUMN waits_hint TEXT;
