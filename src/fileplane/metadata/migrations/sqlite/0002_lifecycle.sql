-- The whole life of a file: holds, restoring and collecting what was deleted, idempotent uploads, verdicts, the audit log.

-- When the file stops existing: expires_at, put off by holds. Everything goes by this; expires_at is what callers are shown.
ALTER TABLE files ADD COLUMN ends_at INTEGER;
-- Of a deleted file: until then it can be restored, afterwards its bytes are collected. Once collecting has begun it is 0, so that no
-- clock that leaps back can make the file restorable again.
ALTER TABLE files ADD COLUMN collect_after INTEGER;
-- When the bytes were removed. The row stays for a while as a tombstone.
ALTER TABLE files ADD COLUMN collected_at INTEGER;
UPDATE files SET ends_at = expires_at;
UPDATE files SET collect_after = min(deleted_at + 604800, coalesce(expires_at, deleted_at + 604800)) WHERE deleted_at IS NOT NULL;

-- Deleted files whose bytes are still kept.
ALTER TABLE usage ADD COLUMN deleted_files INTEGER NOT NULL DEFAULT 0;
UPDATE usage SET deleted_files = (
    SELECT count(*) FROM files WHERE files.project_id = usage.project_id AND files.purpose = usage.purpose AND deleted_at IS NOT NULL
);

-- The lists' covering indexes, as before, over ends_at.
DROP INDEX files_by_time;
DROP INDEX files_by_purpose;
DROP INDEX files_by_expiry;
CREATE INDEX files_by_time ON files (project_id, created_at, id, ends_at, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX files_by_purpose ON files (project_id, purpose, created_at, id, ends_at, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX files_by_end ON files (project_id, ends_at, purpose, bytes, deleted_at) WHERE deleted_at IS NULL AND ends_at IS NOT NULL;

-- What can still be restored, listed like the rest, and what of it has to be subtracted from the counters.
CREATE INDEX deleted_by_time ON files (project_id, created_at, id, collect_after, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX deleted_by_purpose ON files (project_id, purpose, created_at, id, collect_after, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX deleted_by_end ON files (project_id, collect_after, purpose, bytes, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;

-- What the janitor looks for, over all projects.
CREATE INDEX files_ending ON files (ends_at) WHERE deleted_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX files_to_collect ON files (collect_after) WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX files_tombstones ON files (collected_at) WHERE collected_at IS NOT NULL;

-- A blob key is used once; also finds the row of a blob.
CREATE UNIQUE INDEX files_by_blob ON files (blob_key);

CREATE TABLE holds (
    project_id TEXT NOT NULL,
    file_id    TEXT NOT NULL,
    id         TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    created_by TEXT,
    PRIMARY KEY (project_id, file_id, id),
    FOREIGN KEY (project_id, file_id) REFERENCES files (project_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    project_id  TEXT NOT NULL,
    key_hash    BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    file_id     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project_id, key_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- Blobs that no file referred to, about to be removed: no file may refer to them from then on.
CREATE TABLE condemned_blobs (
    blob_key     TEXT PRIMARY KEY,
    condemned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX condemned_blobs_by_time ON condemned_blobs (condemned_at);

CREATE TABLE validations (
    project_id TEXT NOT NULL,
    file_id    TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    PRIMARY KEY (project_id, file_id),
    FOREIGN KEY (project_id, file_id) REFERENCES files (project_id, id)
) STRICT, WITHOUT ROWID;

-- The position is the order of the changes, among those of one second too.
CREATE TABLE audit_log (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at    INTEGER NOT NULL,
    project_id    TEXT NOT NULL,
    action        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    key_id        TEXT,
    client        TEXT,
    request_id    TEXT,
    method        TEXT,
    path          TEXT
) STRICT;
CREATE INDEX audit_log_by_time ON audit_log (created_at, position);
CREATE INDEX audit_log_by_project ON audit_log (project_id, created_at, position);
CREATE INDEX audit_log_by_resource ON audit_log (resource_id, created_at, position);

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far work that goes round and round has come.
CREATE TABLE bookmarks (
    name     TEXT PRIMARY KEY,
    position TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Whoever could do everything goes on to.
UPDATE api_keys SET scopes = scopes || ' audit_logs.view files.hold files.purge metrics.view' WHERE organisation = 1;
