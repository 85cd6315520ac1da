-- name: insert_file
-- A file whose blob is already durable.
INSERT INTO files (project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, ends_at, status,
                   status_details, created_by)
VALUES (:project_id, :id, :purpose, :filename, :bytes, :media_type, :sha256, :blob_key, :created_at, :expires_at, :expires_at, :status,
        :status_details, :created_by);

-- name: select_condemned
-- Whether a blob was taken for an orphan.
SELECT 1 FROM condemned_blobs WHERE blob_key = :blob_key;

-- name: insert_validation
-- What was found in a new file.
INSERT INTO validations (project_id, file_id, verdict) VALUES (:project_id, :id, :verdict);

-- name: count_created
-- The counters that a new file moves.
INSERT INTO usage (project_id, purpose, live_files, stored_bytes) VALUES (:project_id, :purpose, 1, :bytes)
ON CONFLICT (project_id, purpose) DO UPDATE
SET live_files = usage.live_files + 1, stored_bytes = usage.stored_bytes + excluded.stored_bytes;

-- name: select_usage
-- What a project keeps, over all purposes.
SELECT coalesce(sum(live_files), 0), coalesce(sum(stored_bytes), 0) FROM usage WHERE project_id = :project_id;

-- name: select_file
-- One live file.
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM files
WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND (ends_at IS NULL OR ends_at > :now) AND purpose <> 'provider copy';

-- name: select_copy
-- One live copy of a file that is at a provider.
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details
FROM files WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND purpose = 'provider copy';

-- name: select_validation
-- What was found in a live file.
SELECT verdict FROM validations JOIN files ON files.project_id = validations.project_id AND files.id = file_id
WHERE validations.project_id = :project_id AND file_id = :id AND deleted_at IS NULL AND (ends_at IS NULL OR ends_at > :now);

-- name: select_cursor
-- Where a list continues. Deleted and expired files serve as well.
SELECT created_at, id FROM files WHERE project_id = :project_id AND id = :id AND purpose <> 'provider copy';

-- name: count_live
-- The counter of one purpose, or of all when :purpose is null.
SELECT coalesce(sum(live_files), 0) FROM usage
WHERE project_id = :project_id AND (:purpose IS NULL OR purpose = :purpose) AND purpose <> 'provider copy';

-- name: count_live_ended
-- Files that the counter above still includes although they no longer exist.
SELECT count(*) FROM files INDEXED BY files_by_end
WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now
  AND (:purpose IS NULL OR purpose = :purpose);

-- name: count_deleted
-- The counter of one purpose, or of all when :purpose is null.
SELECT coalesce(sum(deleted_files), 0) FROM usage WHERE project_id = :project_id AND (:purpose IS NULL OR purpose = :purpose);

-- name: count_deleted_ended
-- Files that the counter above still includes although they can no longer be restored.
SELECT count(*) FROM files INDEXED BY deleted_by_end
WHERE project_id = :project_id AND deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after <= :now
  AND (:purpose IS NULL OR purpose = :purpose);

-- name: list
-- One page; what stands in braces depends on the query. The inner walk touches the covering index alone, so that an offset costs no
-- table look-ups.
WITH page AS MATERIALIZED (
    SELECT id FROM files INDEXED BY {index}
    WHERE project_id = :project_id AND {filter} AND (created_at, id) {beyond} (:cursor_time, :cursor_id)
    ORDER BY created_at {direction}, id {direction} LIMIT :limit OFFSET :offset
)
SELECT project_id, id, purpose, filename, bytes, media_type, sha256, blob_key, created_at, expires_at, status, status_details,
       deleted_at, collect_after
FROM page CROSS JOIN files USING (id) WHERE project_id = :project_id ORDER BY created_at {direction}, id {direction};
