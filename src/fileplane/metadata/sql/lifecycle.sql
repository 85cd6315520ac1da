-- name: delete_file
-- Marks one live file; nothing is returned when there is none. A file that would have ended before it is collected cannot be restored
-- after that.
UPDATE files SET deleted_at = :now, collect_after = min(:collect_after, coalesce(ends_at, :collect_after))
WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND (ends_at IS NULL OR ends_at > :now) AND purpose <> 'provider copy'
RETURNING purpose, bytes, created_by;

-- name: purge_deleted_file
-- Lets a deleted file that could still be restored be collected at once.
UPDATE files SET collect_after = 0
WHERE project_id = :project_id AND id = :id AND deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after > :now
RETURNING purpose;

-- name: restore_file
-- Takes a deletion back while it can be; not in a project that was removed, where nobody could reach the file again.
UPDATE files SET deleted_at = NULL, collect_after = NULL
WHERE project_id = :project_id AND id = :id AND deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after > :now
  AND EXISTS (SELECT 1 FROM projects WHERE projects.id = :project_id AND projects.deleted_at IS NULL)
RETURNING purpose, bytes, created_by;

-- name: end_restorability
-- A file that was live a moment ago can be collected at once.
UPDATE files SET collect_after = 0 WHERE project_id = :project_id AND id = :id;

-- name: select_remains
-- What is left of a deleted file.
SELECT project_id, id, blob_key, bytes, collect_after FROM files WHERE project_id = :project_id AND id = :id;

-- name: count_deletion
-- The counters that a deletion moves; the bytes still count until they are collected.
UPDATE usage SET live_files = live_files - 1, deleted_files = deleted_files + 1, deleted_bytes = deleted_bytes + :bytes
WHERE project_id = :project_id AND purpose = :purpose;

-- name: count_restoration
-- The counters that a restoration moves back.
UPDATE usage SET live_files = live_files + 1, deleted_files = deleted_files - 1, deleted_bytes = deleted_bytes - :bytes
WHERE project_id = :project_id AND purpose = :purpose;

-- name: insert_hold
-- A hold on a live file; nothing is returned when there is no such file.
INSERT INTO holds (project_id, file_id, id, reason, created_at, expires_at, created_by)
SELECT project_id, id, :id, :reason, :created_at, :expires_at, :created_by FROM files
WHERE project_id = :project_id AND id = :file_id AND deleted_at IS NULL AND (ends_at IS NULL OR ends_at > :created_at)
  AND purpose <> 'provider copy'
RETURNING id;

-- name: delete_ended_holds
-- Holds whose time is over.
DELETE FROM holds WHERE project_id = :project_id AND file_id = :file_id AND expires_at <= :now;

-- name: select_holds
-- The active holds of a file, oldest first.
SELECT id, file_id, reason, created_at, expires_at FROM holds
WHERE project_id = :project_id AND file_id = :file_id AND (expires_at IS NULL OR expires_at > :now) ORDER BY created_at, id;

-- name: count_holds
-- The holds of a file, once those whose time is over are gone.
SELECT count(*) FROM holds WHERE project_id = :project_id AND file_id = :file_id;

-- name: delete_hold
-- Ends an active hold; nothing is returned when there is none.
DELETE FROM holds
WHERE project_id = :project_id AND file_id = :file_id AND id = :id AND (expires_at IS NULL OR expires_at > :now)
RETURNING id;

-- name: put_off_end
-- A file ends when it expires, or when its last hold does if that is later; one that is held for good does not end.
UPDATE files SET ends_at = CASE
    WHEN expires_at IS NULL THEN NULL
    WHEN EXISTS (SELECT 1 FROM holds WHERE project_id = :project_id AND file_id = :file_id AND expires_at IS NULL) THEN NULL
    ELSE max(expires_at, coalesce((SELECT max(expires_at) FROM holds WHERE project_id = :project_id AND file_id = :file_id), 0))
END
WHERE project_id = :project_id AND id = :file_id;

-- name: insert_idempotency_key
-- What an idempotency key stands for, in place of what it stood for before if that is over.
INSERT INTO idempotency_keys (project_id, key_hash, fingerprint, file_id, created_at)
VALUES (:project_id, :key_hash, :fingerprint, :file_id, :now)
ON CONFLICT (project_id, key_hash) DO UPDATE
SET fingerprint = excluded.fingerprint, file_id = excluded.file_id, created_at = excluded.created_at;

-- name: select_idempotency_key
-- What an idempotency key stands for, if it was used recently.
SELECT fingerprint, file_id FROM idempotency_keys
WHERE project_id = :project_id AND key_hash = :key_hash AND created_at > :oldest;

-- name: insert_audit
-- One line of the audit log.
INSERT INTO audit_log (created_at, project_id, action, resource_type, resource_id, key_id, client, request_id, method, path)
VALUES (:created_at, :project_id, :action, :resource_type, :resource_id, :key_id, :client, :request_id, :method, :path);

-- name: select_audit
-- A page of the audit log, newest first; the filter depends on the query.
SELECT position, project_id, created_at, action, resource_type, resource_id, key_id, client, request_id, method, path FROM audit_log
WHERE {filter} ORDER BY created_at DESC, position DESC LIMIT :limit OFFSET :offset;

-- name: count_audit
-- How many lines of the audit log the filter admits.
SELECT count(*) FROM audit_log WHERE {filter};
