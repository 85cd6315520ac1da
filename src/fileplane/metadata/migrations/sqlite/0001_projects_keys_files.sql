-- Ids are canonical UUIDs in lower case, which collate as bytes. Times are seconds since the epoch.

CREATE TABLE projects (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    project_id   TEXT NOT NULL REFERENCES projects (id),
    name         TEXT NOT NULL,
    key_hash     BLOB NOT NULL UNIQUE,
    hint         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    organisation INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    project_id     TEXT NOT NULL REFERENCES projects (id),
    id             TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    filename       TEXT NOT NULL,
    bytes          INTEGER NOT NULL,
    media_type     TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    blob_key       TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    status         TEXT NOT NULL,
    status_details TEXT,
    created_by     TEXT NOT NULL,
    deleted_at     INTEGER,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;

-- Lists walk these two and nothing else: they hold every column that a list filters and orders by. deleted_at is always null here,
-- but SQLite takes an index for covering only when it has every column that a statement names.
CREATE INDEX files_by_time ON files (project_id, created_at, id, expires_at, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX files_by_purpose ON files (project_id, purpose, created_at, id, expires_at, deleted_at) WHERE deleted_at IS NULL;

-- What has expired and is not yet collected, to be subtracted from the counters.
CREATE INDEX files_by_expiry ON files (project_id, expires_at, purpose, deleted_at)
WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- stored_bytes counts deleted files until their bytes are collected; live_files does not.
CREATE TABLE usage (
    project_id   TEXT NOT NULL REFERENCES projects (id),
    purpose      TEXT NOT NULL,
    live_files   INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    PRIMARY KEY (project_id, purpose)
) STRICT, WITHOUT ROWID;
