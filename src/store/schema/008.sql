-- What ran of the project before the first step of a deployment: text that its writer understands.
ALTER TABLE deployments ADD COLUMN ran_before TEXT;
