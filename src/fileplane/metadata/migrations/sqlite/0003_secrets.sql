-- Credentials of providers: the keys that encrypt them, and the virtual keys that hold them.

-- The key check value: names the master key that the data keys are wrapped by, and tells nothing of it.
CREATE TABLE master_key (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    id    TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;

-- Wrapped by the master key. uses counts the values that were encrypted with a data key and stored.
CREATE TABLE data_keys (
    id         TEXT PRIMARY KEY,
    wrapped    BLOB NOT NULL,
    uses       INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;
-- At most one is active.
CREATE UNIQUE INDEX data_keys_active ON data_keys ((retired_at IS NULL)) WHERE retired_at IS NULL;

-- The three kinds of fields are JSON objects of texts: in the clear, as base64 ciphertext, and as references to where they are kept.
CREATE TABLE virtual_keys (
    id               TEXT PRIMARY KEY,
    slug             TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    provider         TEXT NOT NULL,
    note             TEXT,
    custom_host      TEXT,
    sharing          TEXT NOT NULL CHECK (sharing IN ('project', 'account')),
    clear_fields     TEXT NOT NULL,
    encrypted_fields TEXT NOT NULL,
    reference_fields TEXT NOT NULL,
    integration_id   TEXT REFERENCES virtual_keys (id),
    expires_at       INTEGER,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX virtual_keys_by_integration ON virtual_keys (integration_id) WHERE integration_id IS NOT NULL;

-- Which projects may use a virtual key.
CREATE TABLE virtual_key_projects (
    virtual_key_id TEXT NOT NULL REFERENCES virtual_keys (id) ON DELETE CASCADE,
    project_id     TEXT NOT NULL REFERENCES projects (id),
    PRIMARY KEY (virtual_key_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX virtual_keys_by_project ON virtual_key_projects (project_id, virtual_key_id);

-- Which data keys the ciphertexts of something need, by the id that they are bound to: none of these can be removed.
CREATE TABLE data_key_needs (
    owner_id    TEXT NOT NULL,
    data_key_id TEXT NOT NULL REFERENCES data_keys (id),
    PRIMARY KEY (owner_id, data_key_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX data_key_needs_by_key ON data_key_needs (data_key_id, owner_id);
