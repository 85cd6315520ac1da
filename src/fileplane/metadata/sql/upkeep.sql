-- name: select_ended
-- Files past their end that are not marked yet, those that ended first at the front.
SELECT project_id, id, blob_key, bytes, ends_at FROM files INDEXED BY files_ending
WHERE deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now AND (ends_at, project_id, id) > (:since, :project_id, :id)
ORDER BY ends_at, project_id, id LIMIT :limit;

-- name: mark_ended
-- A file past its end is deleted, and can be collected at once; nothing is returned when it is not past its end, or was marked already.
UPDATE files SET deleted_at = :now, collect_after = 0
WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now
RETURNING purpose, bytes, created_by;

-- name: select_collectable
-- Deleted files that can no longer be restored and whose bytes are still kept, those that have waited longest first.
SELECT project_id, id, blob_key, bytes, collect_after FROM files INDEXED BY files_to_collect
WHERE deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after <= :now AND (collect_after, project_id, id) > (:since, :project_id, :id)
ORDER BY collect_after, project_id, id LIMIT :limit;

-- name: select_oldest_deleted
-- A project's deleted files whose bytes are kept, those that would be collected first at the front.
SELECT id, blob_key, bytes FROM files INDEXED BY deleted_by_end
WHERE project_id = :project_id AND deleted_at IS NOT NULL AND collected_at IS NULL
ORDER BY collect_after LIMIT :limit;

-- name: claim
-- A deleted file whose time is over can be restored no more, whatever the clocks say from now on.
UPDATE files SET collect_after = 0
WHERE project_id = :project_id AND id = :id AND deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after <= :now
RETURNING id;

-- name: give_up
-- A deleted file can be collected now.
UPDATE files SET collect_after = 0 WHERE project_id = :project_id AND id = :id;

-- name: mark_collected
-- The bytes are gone; nothing is returned when that was known already.
UPDATE files SET collected_at = :now
WHERE project_id = :project_id AND id = :id AND deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after = 0
RETURNING purpose, bytes;

-- name: count_collected
-- The bytes of a file that has been collected no longer count.
UPDATE usage SET deleted_files = deleted_files - 1, stored_bytes = stored_bytes - :bytes, deleted_bytes = deleted_bytes - :bytes
WHERE project_id = :project_id AND purpose = :purpose;

-- name: select_tombstones
-- Files collected before a time, those collected first at the front.
SELECT project_id, id, blob_key, bytes, collected_at FROM files INDEXED BY files_tombstones
WHERE collected_at IS NOT NULL AND collected_at <= :now AND (collected_at, project_id, id) > (:since, :project_id, :id)
ORDER BY collected_at, project_id, id LIMIT :limit;

-- name: forget_holds
-- What was held of a file that is forgotten.
DELETE FROM holds WHERE project_id = :project_id AND file_id = :id
  AND EXISTS (SELECT 1 FROM files WHERE project_id = :project_id AND files.id = :id AND collected_at IS NOT NULL);

-- name: forget_validation
-- What was found in a file that is forgotten.
DELETE FROM validations WHERE project_id = :project_id AND file_id = :id
  AND EXISTS (SELECT 1 FROM files WHERE project_id = :project_id AND files.id = :id AND collected_at IS NOT NULL);

-- name: forget_file
-- The last of a file.
DELETE FROM files WHERE project_id = :project_id AND id = :id AND collected_at IS NOT NULL;

-- name: select_blob_owner
-- Whether a row, of whatever state, refers to a blob.
SELECT 1 FROM files WHERE blob_key = :blob_key UNION ALL SELECT 1 FROM upload_parts WHERE blob_key = :blob_key;

-- name: condemn
-- From now on no file can refer to this blob.
INSERT INTO condemned_blobs (blob_key, condemned_at) VALUES (:blob_key, :now) ON CONFLICT (blob_key) DO NOTHING;

-- name: delete_old_condemned
-- Blobs condemned so long ago that nobody can still be about to refer to them.
DELETE FROM condemned_blobs WHERE blob_key IN
    (SELECT blob_key FROM condemned_blobs WHERE condemned_at <= :oldest ORDER BY condemned_at LIMIT :limit);

-- name: sum_reclaimable
-- What a project's deleted files keep, and those past their end.
SELECT (SELECT coalesce(sum(bytes), 0) FROM files INDEXED BY deleted_by_end
        WHERE project_id = :project_id AND deleted_at IS NOT NULL AND collected_at IS NULL)
     + (SELECT coalesce(sum(bytes), 0) FROM files INDEXED BY files_by_end
        WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now);

-- name: select_project_ended
-- A project's files past their end that are not marked yet.
SELECT id, blob_key, bytes, ends_at FROM files INDEXED BY files_by_end
WHERE project_id = :project_id AND deleted_at IS NULL AND ends_at IS NOT NULL AND ends_at <= :now ORDER BY ends_at LIMIT :limit;

-- name: delete_old_idempotency_keys
-- Keys whose time is over; one that is used anew meanwhile stays.
DELETE FROM idempotency_keys WHERE created_at <= :oldest AND (project_id, key_hash) IN
    (SELECT project_id, key_hash FROM idempotency_keys WHERE created_at <= :oldest ORDER BY created_at LIMIT :limit);

-- name: delete_old_catalogued
-- Files at providers, and intents of such, that have been over for so long that no list continues after them.
DELETE FROM catalog_files WHERE (project_id, id) IN
    (SELECT project_id, id FROM catalog_files WHERE closed_at IS NOT NULL AND closed_at <= :oldest ORDER BY closed_at LIMIT :limit);

-- name: delete_old_audit
-- Lines of the audit log from before a time.
DELETE FROM audit_log WHERE position IN
    (SELECT position FROM audit_log WHERE created_at < :oldest ORDER BY created_at, position LIMIT :limit);

-- name: take_lease
-- A lease that nobody else holds at the moment; nothing is returned when somebody does.
INSERT INTO leases (name, holder, expires_at) VALUES (:name, :holder, :expires_at)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE leases.holder = excluded.holder OR leases.expires_at <= :now OR leases.expires_at > :latest
RETURNING name;

-- name: release_lease
-- Gives a lease back.
DELETE FROM leases WHERE name = :name AND holder = :holder;

-- name: select_bookmark
-- How far some work has come.
SELECT position FROM bookmarks WHERE name = :name;

-- name: set_bookmark
-- From now on it has come this far.
INSERT INTO bookmarks (name, position) VALUES (:name, :position) ON CONFLICT (name) DO UPDATE SET position = excluded.position;

-- name: select_refusal
-- Whether the database is moved, and nothing may change.
SELECT position FROM bookmarks WHERE name = :name;

-- name: forget_bookmark
-- It is not noted any more.
DELETE FROM bookmarks WHERE name = :name;

-- name: select_kept
-- Files that are one blob, whose bytes are kept, in the order of their keys.
SELECT project_id, id, blob_key, bytes, sha256, deleted_at IS NOT NULL AND collect_after <= :now FROM files
WHERE (project_id, id) > (:project_id, :id) AND collected_at IS NULL AND substr(blob_key, 1, 6) != 'parts:'
ORDER BY project_id, id LIMIT :limit;

-- name: select_not_given_up
-- Whether a file's bytes must be there: nothing is returned once it is given up for collection, collected or forgotten.
SELECT 1 FROM files
WHERE project_id = :project_id AND id = :id AND collected_at IS NULL AND NOT (deleted_at IS NOT NULL AND collect_after = 0);

-- name: end_at_once
-- A live file is deleted, whatever holds it; nothing is returned when it is not live.
UPDATE files SET deleted_at = :now WHERE project_id = :project_id AND id = :id AND deleted_at IS NULL
RETURNING purpose, bytes, created_by;

-- name: recount
-- What the counters should be, from the files themselves and the parts that are none of a file's. One scan of them all.
SELECT project_id, purpose,
       count(*) FILTER (WHERE live = 1),
       count(*) FILTER (WHERE live = 0),
       coalesce(sum(bytes), 0),
       coalesce(sum(bytes) FILTER (WHERE live = 0), 0)
FROM (
    SELECT project_id, purpose, CASE WHEN collected_at IS NOT NULL THEN -1 WHEN deleted_at IS NULL THEN 1 ELSE 0 END AS live,
           CASE WHEN collected_at IS NULL THEN bytes ELSE 0 END AS bytes
    FROM files
    UNION ALL
    SELECT upload_parts.project_id, purpose, -1, upload_parts.bytes
    FROM upload_parts JOIN uploads ON uploads.project_id = upload_parts.project_id AND uploads.id = upload_id WHERE number IS NULL
) AS counted GROUP BY project_id, purpose;

-- name: recount_keys
-- The same for the counters of keys.
SELECT project_id, created_by, count(*), sum(bytes) FROM files WHERE deleted_at IS NULL GROUP BY project_id, created_by;

-- name: select_counters
-- What the counters are.
SELECT project_id, purpose, live_files, deleted_files, stored_bytes, deleted_bytes FROM usage;

-- name: sum_counters
-- What all projects keep together.
SELECT coalesce(sum(live_files), 0), coalesce(sum(deleted_files), 0), coalesce(sum(stored_bytes), 0) FROM usage;

-- name: select_key_counters
-- What those of keys are.
SELECT project_id, key_id, live_files, live_bytes FROM key_usage;

-- name: make_identity
-- The store's id, unless it has one.
INSERT INTO store_identity (one, id) VALUES (1, :id) ON CONFLICT (one) DO NOTHING;

-- name: select_identity
-- The store's id.
SELECT id FROM store_identity WHERE one = 1;
