-- Projects and API keys with limits and defaults, keys that rotate, saved configs.

-- What was the name of a project is its slug; its name may be any text.
ALTER TABLE projects RENAME COLUMN name TO slug;
ALTER TABLE projects ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN description TEXT;
-- JSON objects: of numbers, and of texts.
ALTER TABLE projects ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN default_metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN default_config TEXT;
ALTER TABLE projects ADD COLUMN allow_override INTEGER NOT NULL DEFAULT 1;
ALTER TABLE projects ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- The row of a removed project stays, since files that wait for their collection and the audit log refer to it. Its slug is free.
ALTER TABLE projects ADD COLUMN deleted_at INTEGER;
UPDATE projects SET name = slug, updated_at = created_at;
CREATE INDEX projects_by_default_config ON projects (default_config) WHERE default_config IS NOT NULL;

ALTER TABLE api_keys ADD COLUMN description TEXT;
ALTER TABLE api_keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'workspace-service';
ALTER TABLE api_keys ADD COLUMN user_id TEXT;
ALTER TABLE api_keys ADD COLUMN other_scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN default_metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN default_config TEXT;
ALTER TABLE api_keys ADD COLUMN allow_override INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
UPDATE api_keys SET updated_at = created_at, kind = CASE organisation WHEN 1 THEN 'organisation-service' ELSE 'workspace-service' END;
CREATE INDEX api_keys_by_project ON api_keys (project_id, created_at, id);
CREATE INDEX api_keys_by_default_config ON api_keys (default_config) WHERE default_config IS NOT NULL;

-- Whoever could do everything goes on to.
UPDATE api_keys SET scopes = scopes
    || ' configs.create configs.delete configs.list configs.read configs.update'
    || ' organisation_service_api_keys.create organisation_service_api_keys.delete organisation_service_api_keys.list'
    || ' organisation_service_api_keys.read organisation_service_api_keys.update usage.view'
    || ' virtual_keys.create virtual_keys.delete virtual_keys.list virtual_keys.read virtual_keys.update'
    || ' workspace_service_api_keys.create workspace_service_api_keys.delete workspace_service_api_keys.list'
    || ' workspace_service_api_keys.read workspace_service_api_keys.update'
    || ' workspace_user_api_keys.create workspace_user_api_keys.delete workspace_user_api_keys.list'
    || ' workspace_user_api_keys.read workspace_user_api_keys.update'
    || ' workspaces.create workspaces.delete workspaces.list workspaces.read workspaces.update'
WHERE organisation = 1;

-- What rotations have replaced, until it ends.
CREATE TABLE former_key_hashes (
    key_hash   BLOB PRIMARY KEY,
    api_key_id TEXT NOT NULL REFERENCES api_keys (id),
    ends_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX former_key_hashes_by_key ON former_key_hashes (api_key_id, ends_at);

CREATE TABLE configs (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    slug       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    number     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    created_by TEXT,
    updated_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX configs_by_project ON configs (project_id, created_at, id);

-- Every document that a config has had, as base64 ciphertext bound to its id.
CREATE TABLE config_versions (
    config_id  TEXT NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    encrypted  TEXT NOT NULL,
    resealed   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    created_by TEXT,
    PRIMARY KEY (config_id, number)
) STRICT, WITHOUT ROWID;

-- What the document in force names.
CREATE TABLE config_virtual_keys (
    config_id      TEXT NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    virtual_key_id TEXT NOT NULL REFERENCES virtual_keys (id),
    PRIMARY KEY (config_id, virtual_key_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX configs_by_virtual_key ON config_virtual_keys (virtual_key_id, config_id);

CREATE TABLE config_configs (
    config_id TEXT NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    used_id   TEXT NOT NULL REFERENCES configs (id),
    PRIMARY KEY (config_id, used_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX configs_by_used_config ON config_configs (used_id, config_id);
