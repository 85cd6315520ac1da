-- What providers lack and Fileplane supplies.

-- Whether the provider has other bytes than it was sent, so that sha256 is not theirs.
ALTER TABLE catalog_files ADD COLUMN transformed INTEGER NOT NULL DEFAULT 0;
-- Whether the provider knows nothing of the expiry, so that nobody but Fileplane deletes the file there.
ALTER TABLE catalog_files ADD COLUMN ends_here INTEGER NOT NULL DEFAULT 0;
-- How often its deletion there has been taken on again.
ALTER TABLE catalog_files ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;

-- Files past their expiry that jobs hold: somebody has to ask whether these have ended. due_at is then when that may be asked again.
CREATE INDEX catalog_files_held ON catalog_files (coalesce(due_at, expires_at), project_id, id, due_at, expires_at, ends_at, state)
WHERE state = 'bound' AND ends_at IS NULL AND expires_at IS NOT NULL;

-- The native file that has a copy of the bytes, for a provider that does not give them back.
ALTER TABLE catalog_files ADD COLUMN copy_id TEXT;
ALTER TABLE virtual_keys ADD COLUMN keep_copy INTEGER NOT NULL DEFAULT 0;

-- A copy is a native file like any other, for the quota, the janitor, checks and backups; its purpose, which no upload can have, keeps it
-- from what callers see of the native store.
DROP INDEX files_by_time;
CREATE INDEX files_by_time ON files (project_id, created_at, id, ends_at, deleted_at, purpose)
WHERE deleted_at IS NULL AND purpose <> 'provider copy';
