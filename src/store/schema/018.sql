-- A deployment that succeeded, and whose commit was given up afterwards: when, and why in words.
ALTER TABLE deployments ADD COLUMN taken_back_at INTEGER;
ALTER TABLE deployments ADD COLUMN taken_back_why TEXT;
