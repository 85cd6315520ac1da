-- name: insert_project
-- A project under a name that no other has.
INSERT INTO projects (id, name, created_at) VALUES (:id, :name, :created_at);

-- name: select_projects
-- Every project, oldest first.
SELECT id, name, created_at FROM projects ORDER BY created_at, id;

-- name: insert_api_key
-- A key, known by its hash alone.
INSERT INTO api_keys (id, project_id, name, key_hash, hint, scopes, organisation, created_at, expires_at)
VALUES (:id, :project_id, :name, :key_hash, :hint, :scopes, :organisation, :created_at, :expires_at);

-- name: select_api_key_by_hash
-- The key a caller has sent.
SELECT api_keys.id, project_id, projects.name, api_keys.name, hint, scopes, organisation, api_keys.created_at, expires_at, revoked_at
FROM api_keys JOIN projects ON projects.id = project_id
WHERE key_hash = :key_hash;

-- name: select_api_keys
-- The keys of one project, or of all when :project_id is null.
SELECT api_keys.id, project_id, projects.name, api_keys.name, hint, scopes, organisation, api_keys.created_at, expires_at, revoked_at
FROM api_keys JOIN projects ON projects.id = project_id
WHERE :project_id IS NULL OR project_id = :project_id
ORDER BY api_keys.created_at, api_keys.id;

-- name: select_any_api_key
-- Whether the store has been bootstrapped.
SELECT 1 FROM api_keys LIMIT 1;

-- name: revoke_api_key
-- Keeps the time of the first revocation.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :now) WHERE id = :id RETURNING id;

-- name: insert_file
-- A file whose blob is already durable.
INSERT INTO files (project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status,
                   status_details, created_by)
VALUES (:project_id, :id, :purpose, :filename, :bytes, :media_type, :sha256, :blob_key, :created_at, :expires_at, :status,
        :status_details, :created_by);

-- name: count_created
-- The counters that a new file moves.
INSERT INTO usage (project_id, purpose, live_files, stored_bytes) VALUES (:project_id, :purpose, 1, :bytes)
ON CONFLICT (project_id, purpose) DO UPDATE SET live_files = live_files + 1, stored_bytes = stored_bytes + excluded.stored_bytes;

-- name: count_deleted
-- The counter that a deletion moves; the bytes still count until they are collected.
UPDATE usage SET live_files = live_files - 1 WHERE project_id = :project_id AND purpose = :purpose;

-- name: select_usage
-- What a project keeps, over all purposes.
SELECT coalesce(sum(live_files), 0), coalesce(sum(stored_bytes), 0) FROM usage WHERE project_id = :project_id;

-- name: select_file
-- One live file.
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM files
WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now);

-- name: delete_file
-- Marks one live file; nothing is returned when there is none.
UPDATE files SET deleted_at = :now
WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
RETURNING purpose;

-- name: select_cursor
-- Where a list continues. Deleted and expired files serve as well.
SELECT created_at, id FROM files WHERE project_id = :project_id AND id = :id;

-- name: count_live
-- The counter of one purpose, or of all when :purpose is null.
SELECT coalesce(sum(live_files), 0) FROM usage WHERE project_id = :project_id AND (:purpose IS NULL OR purpose = :purpose);

-- name: count_expired
-- Files that the counters still include although they no longer exist.
SELECT count(*) FROM files INDEXED BY files_by_expiry
WHERE project_id = :project_id AND deleted_at IS NULL AND expires_at IS NOT NULL AND expires_at <= :now
  AND (:purpose IS NULL OR purpose = :purpose);

-- name: list_newest_first
-- The inner walk touches the covering index alone, so that an offset costs no table look-ups.
WITH page AS MATERIALIZED (
    SELECT id FROM files INDEXED BY files_by_time
    WHERE project_id = :project_id AND deleted_at IS NULL AND (created_at, id) < (:cursor_time, :cursor_id)
      AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset
)
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM page CROSS JOIN files USING (id) WHERE project_id = :project_id ORDER BY created_at DESC, id DESC;

-- name: list_oldest_first
-- As list_newest_first, the other way round.
WITH page AS MATERIALIZED (
    SELECT id FROM files INDEXED BY files_by_time
    WHERE project_id = :project_id AND deleted_at IS NULL AND (created_at, id) > (:cursor_time, :cursor_id)
      AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY created_at, id LIMIT :limit OFFSET :offset
)
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM page CROSS JOIN files USING (id) WHERE project_id = :project_id ORDER BY created_at, id;

-- name: list_purpose_newest_first
-- As list_newest_first, for one purpose.
WITH page AS MATERIALIZED (
    SELECT id FROM files INDEXED BY files_by_purpose
    WHERE project_id = :project_id AND purpose = :purpose AND deleted_at IS NULL AND (created_at, id) < (:cursor_time, :cursor_id)
      AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset
)
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM page CROSS JOIN files USING (id) WHERE project_id = :project_id ORDER BY created_at DESC, id DESC;

-- name: list_purpose_oldest_first
-- As list_purpose_newest_first, the other way round.
WITH page AS MATERIALIZED (
    SELECT id FROM files INDEXED BY files_by_purpose
    WHERE project_id = :project_id AND purpose = :purpose AND deleted_at IS NULL AND (created_at, id) > (:cursor_time, :cursor_id)
      AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY created_at, id LIMIT :limit OFFSET :offset
)
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM page CROSS JOIN files USING (id) WHERE project_id = :project_id ORDER BY created_at, id;
