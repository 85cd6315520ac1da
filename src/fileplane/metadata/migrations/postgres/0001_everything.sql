-- The schema as SQLite's ninth version has it; what its tables and columns mean is written there.
-- serves: 1
-- Every text collates as bytes, so that both engines sort alike and a change of the system's locales changes no order. Keys begin with the
-- project, and every unique key of files contains it, so that they can be partitioned by it.

CREATE TABLE projects (
    id               text COLLATE "C" PRIMARY KEY,
    slug             text COLLATE "C" NOT NULL UNIQUE,
    name             text COLLATE "C" NOT NULL,
    description      text COLLATE "C",
    limits           text COLLATE "C" NOT NULL,
    default_metadata text COLLATE "C" NOT NULL,
    default_config   text COLLATE "C",
    allow_override   smallint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    deleted_at       bigint
);
CREATE INDEX projects_by_default_config ON projects (default_config) WHERE default_config IS NOT NULL;

CREATE TABLE api_keys (
    id               text COLLATE "C" PRIMARY KEY,
    project_id       text COLLATE "C" NOT NULL REFERENCES projects (id),
    name             text COLLATE "C" NOT NULL,
    description      text COLLATE "C",
    key_hash         bytea NOT NULL UNIQUE,
    hint             text COLLATE "C" NOT NULL,
    kind             text COLLATE "C" NOT NULL,
    organisation     smallint NOT NULL,
    user_id          text COLLATE "C",
    scopes           text COLLATE "C" NOT NULL,
    other_scopes     text COLLATE "C" NOT NULL,
    limits           text COLLATE "C" NOT NULL,
    default_metadata text COLLATE "C" NOT NULL,
    default_config   text COLLATE "C",
    allow_override   smallint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    expires_at       bigint,
    revoked_at       bigint,
    last_used_at     bigint,
    version          bigint NOT NULL DEFAULT 1
);
CREATE INDEX api_keys_by_project ON api_keys (project_id, created_at, id);
CREATE INDEX api_keys_by_default_config ON api_keys (default_config) WHERE default_config IS NOT NULL;

CREATE TABLE former_key_hashes (
    key_hash   bytea PRIMARY KEY,
    api_key_id text COLLATE "C" NOT NULL REFERENCES api_keys (id),
    ends_at    bigint NOT NULL
);
CREATE INDEX former_key_hashes_by_key ON former_key_hashes (api_key_id, ends_at);

CREATE TABLE files (
    project_id     text COLLATE "C" NOT NULL REFERENCES projects (id),
    id             text COLLATE "C" NOT NULL,
    purpose        text COLLATE "C" NOT NULL,
    filename       text COLLATE "C" NOT NULL,
    bytes          bigint NOT NULL,
    media_type     text COLLATE "C" NOT NULL,
    sha256         text COLLATE "C" NOT NULL,
    blob_key       text COLLATE "C" NOT NULL,
    created_at     bigint NOT NULL,
    expires_at     bigint,
    ends_at        bigint,
    status         text COLLATE "C" NOT NULL,
    status_details text COLLATE "C",
    created_by     text COLLATE "C" NOT NULL,
    deleted_at     bigint,
    collect_after  bigint,
    collected_at   bigint,
    PRIMARY KEY (project_id, id)
);
-- Lists walk these and nothing else.
CREATE INDEX files_by_time ON files (project_id, created_at, id) INCLUDE (ends_at, deleted_at)
WHERE deleted_at IS NULL AND purpose <> 'provider copy';
CREATE INDEX files_by_purpose ON files (project_id, purpose, created_at, id) INCLUDE (ends_at, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX files_by_end ON files (project_id, ends_at) INCLUDE (purpose, bytes, deleted_at)
WHERE deleted_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX files_by_key_end ON files (project_id, created_by, ends_at) INCLUDE (bytes, deleted_at)
WHERE deleted_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX deleted_by_time ON files (project_id, created_at, id) INCLUDE (collect_after, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX deleted_by_purpose ON files (project_id, purpose, created_at, id) INCLUDE (collect_after, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX deleted_by_end ON files (project_id, collect_after) INCLUDE (purpose, bytes, deleted_at, collected_at)
WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX files_ending ON files (ends_at, project_id, id) WHERE deleted_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX files_to_collect ON files (collect_after, project_id, id) WHERE deleted_at IS NOT NULL AND collected_at IS NULL;
CREATE INDEX files_tombstones ON files (collected_at, project_id, id) WHERE collected_at IS NOT NULL;
CREATE UNIQUE INDEX files_by_blob ON files (blob_key, project_id);

CREATE TABLE usage (
    project_id    text COLLATE "C" NOT NULL REFERENCES projects (id),
    purpose       text COLLATE "C" NOT NULL,
    live_files    bigint NOT NULL,
    stored_bytes  bigint NOT NULL,
    deleted_files bigint NOT NULL DEFAULT 0,
    deleted_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, purpose)
);

CREATE TABLE key_usage (
    project_id text COLLATE "C" NOT NULL REFERENCES projects (id),
    key_id     text COLLATE "C" NOT NULL,
    live_files bigint NOT NULL,
    live_bytes bigint NOT NULL,
    PRIMARY KEY (project_id, key_id)
);

CREATE TABLE daily_usage (
    project_id     text COLLATE "C" NOT NULL REFERENCES projects (id),
    key_id         text COLLATE "C" NOT NULL,
    day            bigint NOT NULL,
    uploads        bigint NOT NULL,
    received_bytes bigint NOT NULL,
    stored_bytes   bigint NOT NULL,
    PRIMARY KEY (project_id, key_id, day)
);
CREATE INDEX daily_usage_by_day ON daily_usage (day);

CREATE TABLE request_windows (
    subject text COLLATE "C" PRIMARY KEY,
    minute  bigint NOT NULL,
    used    bigint NOT NULL
);
CREATE INDEX request_windows_by_minute ON request_windows (minute);

CREATE TABLE uploads_in_progress (
    id         text COLLATE "C" PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX uploads_by_project ON uploads_in_progress (project_id, expires_at);
CREATE INDEX uploads_by_key ON uploads_in_progress (key_id, expires_at);
CREATE INDEX uploads_by_end ON uploads_in_progress (expires_at);

CREATE TABLE holds (
    project_id text COLLATE "C" NOT NULL,
    file_id    text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    reason     text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    created_by text COLLATE "C",
    PRIMARY KEY (project_id, file_id, id),
    FOREIGN KEY (project_id, file_id) REFERENCES files (project_id, id)
);

CREATE TABLE idempotency_keys (
    project_id  text COLLATE "C" NOT NULL,
    key_hash    bytea NOT NULL,
    fingerprint bytea NOT NULL,
    file_id     text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    PRIMARY KEY (project_id, key_hash)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

CREATE TABLE condemned_blobs (
    blob_key     text COLLATE "C" PRIMARY KEY,
    condemned_at bigint NOT NULL
);
CREATE INDEX condemned_blobs_by_time ON condemned_blobs (condemned_at);

CREATE TABLE validations (
    project_id text COLLATE "C" NOT NULL,
    file_id    text COLLATE "C" NOT NULL,
    verdict    text COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, file_id),
    FOREIGN KEY (project_id, file_id) REFERENCES files (project_id, id)
);

CREATE TABLE audit_log (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at    bigint NOT NULL,
    project_id    text COLLATE "C" NOT NULL,
    action        text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    resource_id   text COLLATE "C" NOT NULL,
    key_id        text COLLATE "C",
    client        text COLLATE "C",
    request_id    text COLLATE "C",
    method        text COLLATE "C",
    path          text COLLATE "C"
);
CREATE INDEX audit_log_by_time ON audit_log (created_at, position);
CREATE INDEX audit_log_by_project ON audit_log (project_id, created_at, position);
CREATE INDEX audit_log_by_resource ON audit_log (resource_id, created_at, position);

CREATE TABLE leases (
    name       text COLLATE "C" PRIMARY KEY,
    holder     text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE bookmarks (
    name     text COLLATE "C" PRIMARY KEY,
    position text COLLATE "C" NOT NULL
);

CREATE TABLE master_key (
    one   smallint PRIMARY KEY CHECK (one = 1),
    id    text COLLATE "C" NOT NULL,
    since bigint NOT NULL
);

CREATE TABLE data_keys (
    id         text COLLATE "C" PRIMARY KEY,
    wrapped    bytea NOT NULL,
    uses       bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    retired_at bigint
);
CREATE UNIQUE INDEX data_keys_active ON data_keys ((retired_at IS NULL)) WHERE retired_at IS NULL;

CREATE TABLE virtual_keys (
    id               text COLLATE "C" PRIMARY KEY,
    slug             text COLLATE "C" NOT NULL UNIQUE,
    name             text COLLATE "C" NOT NULL,
    provider         text COLLATE "C" NOT NULL,
    note             text COLLATE "C",
    custom_host      text COLLATE "C",
    sharing          text COLLATE "C" NOT NULL CHECK (sharing IN ('project', 'account')),
    clear_fields     text COLLATE "C" NOT NULL,
    encrypted_fields text COLLATE "C" NOT NULL,
    reference_fields text COLLATE "C" NOT NULL,
    integration_id   text COLLATE "C" REFERENCES virtual_keys (id),
    expires_at       bigint,
    version          bigint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    keep_copy        bigint NOT NULL DEFAULT 0
);
CREATE INDEX virtual_keys_by_integration ON virtual_keys (integration_id) WHERE integration_id IS NOT NULL;

CREATE TABLE virtual_key_projects (
    virtual_key_id text COLLATE "C" NOT NULL REFERENCES virtual_keys (id) ON DELETE CASCADE,
    project_id     text COLLATE "C" NOT NULL REFERENCES projects (id),
    PRIMARY KEY (virtual_key_id, project_id)
);
CREATE INDEX virtual_keys_by_project ON virtual_key_projects (project_id, virtual_key_id);

CREATE TABLE data_key_needs (
    owner_id    text COLLATE "C" NOT NULL,
    data_key_id text COLLATE "C" NOT NULL REFERENCES data_keys (id),
    PRIMARY KEY (owner_id, data_key_id)
);
CREATE INDEX data_key_needs_by_key ON data_key_needs (data_key_id, owner_id);

CREATE TABLE configs (
    id         text COLLATE "C" PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL REFERENCES projects (id),
    slug       text COLLATE "C" NOT NULL UNIQUE,
    name       text COLLATE "C" NOT NULL,
    number     bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    created_by text COLLATE "C",
    updated_by text COLLATE "C"
);
CREATE INDEX configs_by_project ON configs (project_id, created_at, id);

CREATE TABLE config_versions (
    config_id  text COLLATE "C" NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    number     bigint NOT NULL,
    id         text COLLATE "C" NOT NULL UNIQUE,
    encrypted  text COLLATE "C" NOT NULL,
    resealed   bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    created_by text COLLATE "C",
    PRIMARY KEY (config_id, number)
);

CREATE TABLE config_virtual_keys (
    config_id      text COLLATE "C" NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    virtual_key_id text COLLATE "C" NOT NULL REFERENCES virtual_keys (id),
    PRIMARY KEY (config_id, virtual_key_id)
);
CREATE INDEX configs_by_virtual_key ON config_virtual_keys (virtual_key_id, config_id);

CREATE TABLE config_configs (
    config_id text COLLATE "C" NOT NULL REFERENCES configs (id) ON DELETE CASCADE,
    used_id   text COLLATE "C" NOT NULL REFERENCES configs (id),
    PRIMARY KEY (config_id, used_id)
);
CREATE INDEX configs_by_used_config ON config_configs (used_id, config_id);

CREATE TABLE catalog_files (
    project_id       text COLLATE "C" NOT NULL REFERENCES projects (id),
    id               text COLLATE "C" NOT NULL,
    virtual_key_id   text COLLATE "C" NOT NULL,
    account_id       text COLLATE "C" NOT NULL,
    provider         text COLLATE "C" NOT NULL,
    state            text COLLATE "C" NOT NULL CHECK (state IN ('reserved', 'unknown', 'bound', 'deleting', 'closed', 'failed')),
    provider_file_id text COLLATE "C",
    position         text COLLATE "C",
    purpose          text COLLATE "C" NOT NULL,
    filename         text COLLATE "C" NOT NULL,
    bytes            bigint,
    media_type       text COLLATE "C" NOT NULL,
    sha256           text COLLATE "C",
    status           text COLLATE "C",
    reserved_at      bigint NOT NULL,
    created_at       bigint,
    expires_after    bigint,
    expires_at       bigint,
    ends_at          bigint,
    closed_at        bigint,
    claimed_by       text COLLATE "C",
    due_at           bigint,
    key_hash         bytea,
    created_by       text COLLATE "C",
    transformed      bigint NOT NULL DEFAULT 0,
    ends_here        bigint NOT NULL DEFAULT 0,
    tries            bigint NOT NULL DEFAULT 0,
    copy_id          text COLLATE "C",
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX catalog_files_live ON catalog_files (account_id, provider_file_id) WHERE state IN ('bound', 'deleting');
CREATE INDEX catalog_files_by_provider_id ON catalog_files (project_id, provider_file_id, virtual_key_id, position)
WHERE provider_file_id IS NOT NULL;
CREATE INDEX catalog_files_by_time ON catalog_files (project_id, virtual_key_id, position, id) INCLUDE (ends_at, state)
WHERE state = 'bound';
CREATE INDEX catalog_files_by_purpose ON catalog_files (project_id, virtual_key_id, purpose, position, id) INCLUDE (ends_at, state)
WHERE state = 'bound';
CREATE INDEX catalog_files_by_end ON catalog_files (project_id, virtual_key_id, ends_at) INCLUDE (purpose, state)
WHERE state = 'bound' AND ends_at IS NOT NULL;
CREATE INDEX catalog_files_ending ON catalog_files (ends_at, project_id, id) WHERE state = 'bound' AND ends_at IS NOT NULL;
CREATE INDEX catalog_files_unresolved ON catalog_files (due_at, project_id, id) INCLUDE (virtual_key_id, state)
WHERE state IN ('reserved', 'unknown', 'deleting');
CREATE INDEX catalog_files_held ON catalog_files ((coalesce(due_at, expires_at)), project_id, id) INCLUDE (due_at)
WHERE state = 'bound' AND ends_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX catalog_files_closed ON catalog_files (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE catalog_usage (
    project_id     text COLLATE "C" NOT NULL REFERENCES projects (id),
    virtual_key_id text COLLATE "C" NOT NULL,
    purpose        text COLLATE "C" NOT NULL,
    live_files     bigint NOT NULL,
    stored_bytes   bigint NOT NULL,
    PRIMARY KEY (project_id, virtual_key_id, purpose)
);
CREATE INDEX catalog_usage_by_virtual_key ON catalog_usage (virtual_key_id, live_files);

CREATE TABLE catalog_jobs (
    project_id      text COLLATE "C" NOT NULL REFERENCES projects (id),
    id              text COLLATE "C" NOT NULL,
    virtual_key_id  text COLLATE "C" NOT NULL,
    account_id      text COLLATE "C" NOT NULL,
    provider        text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('batch', 'fine_tuning')),
    state           text COLLATE "C" NOT NULL CHECK (state IN ('reserved', 'unknown', 'active', 'ended', 'closed', 'failed')),
    provider_job_id text COLLATE "C",
    position        text COLLATE "C",
    status          text COLLATE "C",
    reserved_at     bigint NOT NULL,
    created_at      bigint,
    ended_at        bigint,
    claimed_by      text COLLATE "C",
    due_at          bigint,
    created_by      text COLLATE "C",
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX catalog_jobs_live ON catalog_jobs (account_id, kind, provider_job_id) WHERE state IN ('active', 'ended');
CREATE INDEX catalog_jobs_by_provider_id ON catalog_jobs (project_id, kind, provider_job_id, virtual_key_id, position)
WHERE provider_job_id IS NOT NULL;
CREATE INDEX catalog_jobs_by_time ON catalog_jobs (project_id, virtual_key_id, kind, position, id) INCLUDE (state)
WHERE state IN ('active', 'ended');
CREATE INDEX catalog_jobs_unresolved ON catalog_jobs (due_at, project_id, id) INCLUDE (state) WHERE state IN ('reserved', 'unknown');
CREATE INDEX catalog_jobs_in_use ON catalog_jobs (virtual_key_id, project_id) INCLUDE (state)
WHERE state IN ('reserved', 'unknown', 'active');
CREATE INDEX catalog_jobs_in_use_by_project ON catalog_jobs (project_id) INCLUDE (state) WHERE state IN ('reserved', 'unknown', 'active');

CREATE TABLE catalog_job_files (
    project_id       text COLLATE "C" NOT NULL,
    job_id           text COLLATE "C" NOT NULL,
    role             text COLLATE "C" NOT NULL CHECK (role IN ('input', 'result')),
    provider_file_id text COLLATE "C" NOT NULL,
    file_id          text COLLATE "C" NOT NULL,
    holding          smallint NOT NULL,
    PRIMARY KEY (project_id, job_id, role, provider_file_id),
    FOREIGN KEY (project_id, job_id) REFERENCES catalog_jobs (project_id, id)
);
CREATE INDEX catalog_holds ON catalog_job_files (project_id, file_id, job_id) WHERE holding = 1;

CREATE TABLE store_identity (
    one smallint PRIMARY KEY CHECK (one = 1),
    id  text COLLATE "C" NOT NULL
);

CREATE TABLE uploads (
    project_id    text COLLATE "C" NOT NULL REFERENCES projects (id),
    id            text COLLATE "C" NOT NULL,
    purpose       text COLLATE "C" NOT NULL,
    filename      text COLLATE "C" NOT NULL,
    bytes         bigint NOT NULL,
    media_type    text COLLATE "C" NOT NULL,
    expires_after bigint,
    status        text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled', 'expired')),
    created_by    text COLLATE "C" NOT NULL,
    created_at    bigint NOT NULL,
    expires_at    bigint NOT NULL,
    ended_at      bigint,
    file_id       text COLLATE "C",
    target        text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, id)
);
CREATE INDEX uploads_by_time ON uploads (project_id, created_at, id);
CREATE INDEX uploads_ending ON uploads (expires_at, project_id, id) WHERE status = 'pending';
CREATE INDEX uploads_of_key ON uploads (project_id, created_by) WHERE status = 'pending';
CREATE INDEX uploads_over ON uploads (ended_at, project_id, id) WHERE status IN ('cancelled', 'expired');

CREATE TABLE upload_parts (
    project_id  text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    upload_id   text COLLATE "C" NOT NULL,
    blob_key    text COLLATE "C" NOT NULL,
    bytes       bigint NOT NULL,
    sha256      text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    number      bigint,
    given_up_at bigint,
    begins      bigint,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id)
);
CREATE INDEX parts_by_upload ON upload_parts (project_id, upload_id, number, id);
CREATE UNIQUE INDEX parts_by_blob ON upload_parts (blob_key, project_id);
CREATE INDEX parts_given_up ON upload_parts (given_up_at, project_id, id) WHERE given_up_at IS NOT NULL;

CREATE INDEX files_unsettled ON files (created_at, project_id, id) WHERE status = 'uploaded';

CREATE INDEX uploads_routed_over ON uploads (ended_at, project_id, id) WHERE status = 'completed' AND target <> '';

CREATE TABLE routed_uploads (
    project_id         text COLLATE "C" NOT NULL,
    upload_id          text COLLATE "C" NOT NULL,
    provider_upload_id text COLLATE "C",
    begun              bigint NOT NULL DEFAULT 0,
    digest             bytea,
    intent_id          text COLLATE "C",
    provider_file_id   text COLLATE "C",
    PRIMARY KEY (project_id, upload_id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id) ON DELETE CASCADE
);
CREATE INDEX routed_uploads_by_intent ON routed_uploads (project_id, intent_id) WHERE intent_id IS NOT NULL;

CREATE TABLE routed_parts (
    project_id       text COLLATE "C" NOT NULL,
    id               text COLLATE "C" NOT NULL,
    upload_id        text COLLATE "C" NOT NULL,
    provider_part_id text COLLATE "C" NOT NULL,
    bytes            bigint NOT NULL,
    sha256           text COLLATE "C" NOT NULL,
    created_at       bigint NOT NULL,
    number           bigint,
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, upload_id) REFERENCES routed_uploads (project_id, upload_id) ON DELETE CASCADE
);
CREATE INDEX routed_parts_by_upload ON routed_parts (project_id, upload_id, id);
CREATE TABLE resumable_uploads (
    project_id      text COLLATE "C" NOT NULL,
    upload_id       text COLLATE "C" NOT NULL,
    metadata        text COLLATE "C" NOT NULL,
    length_deferred smallint NOT NULL,
    received        bigint NOT NULL,
    turn            bigint NOT NULL,
    held_until      bigint,
    asked           smallint NOT NULL,
    PRIMARY KEY (project_id, upload_id),
    FOREIGN KEY (project_id, upload_id) REFERENCES uploads (project_id, id) ON DELETE CASCADE
);
