-- The catalog: files that were put at providers, and the jobs there that use them.

-- id is the intent's, ours; provider_file_id is known once the file is bound. account_id is the virtual key whose credential it is, so that
-- virtual keys that share one count as one. No reference to virtual_keys: one can be removed once all that is left here is closed.
CREATE TABLE catalog_files (
    project_id       TEXT NOT NULL REFERENCES projects (id),
    id               TEXT NOT NULL,
    virtual_key_id   TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    provider         TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('reserved', 'unknown', 'bound', 'deleting', 'closed', 'failed')),
    provider_file_id TEXT,
    -- The order of lists: a UUIDv7 of the moment of binding.
    position         TEXT,
    purpose          TEXT NOT NULL,
    filename         TEXT NOT NULL,
    bytes            INTEGER,
    media_type       TEXT NOT NULL,
    sha256           TEXT,
    status           TEXT,
    reserved_at      INTEGER NOT NULL,
    created_at       INTEGER,
    expires_after    INTEGER,
    expires_at       INTEGER,
    -- When the file stops existing: expires_at, or never while a job holds it. Everything goes by this; expires_at is what callers are shown.
    ends_at          INTEGER,
    closed_at        INTEGER,
    claimed_by       TEXT,
    due_at           INTEGER,
    key_hash         BLOB,
    created_by       TEXT,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;

-- Never two live bindings of one file.
CREATE UNIQUE INDEX catalog_files_live ON catalog_files (account_id, provider_file_id) WHERE state IN ('bound', 'deleting');
CREATE INDEX catalog_files_by_provider_id ON catalog_files (project_id, provider_file_id, virtual_key_id, position)
WHERE provider_file_id IS NOT NULL;

-- Lists walk these two and nothing else: they hold every column that a list filters and orders by.
CREATE INDEX catalog_files_by_time ON catalog_files (project_id, virtual_key_id, position, id, ends_at, state) WHERE state = 'bound';
CREATE INDEX catalog_files_by_purpose ON catalog_files (project_id, virtual_key_id, purpose, position, id, ends_at, state)
WHERE state = 'bound';
-- What has expired and is still counted.
CREATE INDEX catalog_files_by_end ON catalog_files (project_id, virtual_key_id, ends_at, purpose, state)
WHERE state = 'bound' AND ends_at IS NOT NULL;

-- What is looked for over all projects.
CREATE INDEX catalog_files_ending ON catalog_files (ends_at) WHERE state = 'bound' AND ends_at IS NOT NULL;
CREATE INDEX catalog_files_unresolved ON catalog_files (due_at, project_id, id, virtual_key_id, state)
WHERE state IN ('reserved', 'unknown', 'deleting');
CREATE INDEX catalog_files_closed ON catalog_files (closed_at) WHERE closed_at IS NOT NULL;

-- Of bound files.
CREATE TABLE catalog_usage (
    project_id     TEXT NOT NULL REFERENCES projects (id),
    virtual_key_id TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    live_files     INTEGER NOT NULL,
    stored_bytes   INTEGER NOT NULL,
    PRIMARY KEY (project_id, virtual_key_id, purpose)
) STRICT, WITHOUT ROWID;
CREATE INDEX catalog_usage_by_virtual_key ON catalog_usage (virtual_key_id, live_files);

CREATE TABLE catalog_jobs (
    project_id      TEXT NOT NULL REFERENCES projects (id),
    id              TEXT NOT NULL,
    virtual_key_id  TEXT NOT NULL,
    account_id      TEXT NOT NULL,
    provider        TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('batch', 'fine_tuning')),
    state           TEXT NOT NULL CHECK (state IN ('reserved', 'unknown', 'active', 'ended', 'closed', 'failed')),
    provider_job_id TEXT,
    position        TEXT,
    status          TEXT,
    reserved_at     INTEGER NOT NULL,
    created_at      INTEGER,
    ended_at        INTEGER,
    claimed_by      TEXT,
    due_at          INTEGER,
    created_by      TEXT,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX catalog_jobs_live ON catalog_jobs (account_id, kind, provider_job_id) WHERE state IN ('active', 'ended');
CREATE INDEX catalog_jobs_by_provider_id ON catalog_jobs (project_id, kind, provider_job_id, virtual_key_id, position)
WHERE provider_job_id IS NOT NULL;
CREATE INDEX catalog_jobs_by_time ON catalog_jobs (project_id, virtual_key_id, kind, position, id, state)
WHERE state IN ('active', 'ended');
CREATE INDEX catalog_jobs_unresolved ON catalog_jobs (due_at, project_id, id, state) WHERE state IN ('reserved', 'unknown');
-- What needs its virtual key and its project.
CREATE INDEX catalog_jobs_in_use ON catalog_jobs (virtual_key_id, project_id, state) WHERE state IN ('reserved', 'unknown', 'active');
CREATE INDEX catalog_jobs_in_use_by_project ON catalog_jobs (project_id, state) WHERE state IN ('reserved', 'unknown', 'active');

-- What a job uses and what came of it. An input is held while the job may need it; file_id is the catalog's.
CREATE TABLE catalog_job_files (
    project_id       TEXT NOT NULL,
    job_id           TEXT NOT NULL,
    role             TEXT NOT NULL CHECK (role IN ('input', 'result')),
    provider_file_id TEXT NOT NULL,
    file_id          TEXT NOT NULL,
    holding          INTEGER NOT NULL,
    PRIMARY KEY (project_id, job_id, role, provider_file_id),
    FOREIGN KEY (project_id, job_id) REFERENCES catalog_jobs (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX catalog_holds ON catalog_job_files (project_id, file_id, job_id) WHERE holding = 1;
