-- name: select_target
-- Provider and credential of a virtual key that a project may use.
SELECT provider, coalesce(integration_id, virtual_keys.id) FROM virtual_key_projects JOIN virtual_keys ON virtual_keys.id = virtual_key_id
WHERE virtual_key_id = :virtual_key_id AND project_id = :project_id;

-- name: select_account
-- The virtual key whose credential a virtual key uses.
SELECT coalesce(integration_id, id) FROM virtual_keys WHERE id = :virtual_key_id;

-- name: insert_reservation
-- A file that is about to be sent.
INSERT INTO catalog_files (project_id, id, virtual_key_id, account_id, provider, state, purpose, filename, bytes, media_type, sha256,
                           reserved_at, expires_after, ends_here, claimed_by, due_at, key_hash, created_by, copy_id)
VALUES (:project_id, :id, :virtual_key_id, :account_id, :provider, 'reserved', :purpose, :filename, :bytes, :media_type, :sha256,
        :now, :expires_after, :ends_here, :claimed_by, :due_at, :key_hash, :created_by, :copy_id);

-- name: insert_bound
-- A file that is at the provider already.
INSERT INTO catalog_files (project_id, id, virtual_key_id, account_id, provider, state, provider_file_id, position, purpose, filename, bytes,
                           media_type, status, reserved_at, created_at, expires_at, ends_at, created_by)
VALUES (:project_id, :id, :virtual_key_id, :account_id, :provider, 'bound', :provider_file_id, :position, :purpose, :filename, :bytes,
        :media_type, :status, :now, :created_at, :expires_at, :expires_at, :created_by);

-- name: select_intent
-- One file, whatever its state.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files WHERE project_id = :project_id AND id = :id;

-- name: select_intent_details
-- What of a file is of use inside alone.
SELECT account_id, key_hash, expires_after FROM catalog_files WHERE project_id = :project_id AND id = :id;

-- name: select_live
-- The project's file with this id at this virtual key, being deleted or expired though it may be.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files INDEXED BY catalog_files_by_provider_id
WHERE project_id = :project_id AND provider_file_id = :provider_file_id AND virtual_key_id = :virtual_key_id
  AND state IN ('bound', 'deleting');

-- name: select_bound
-- The project's file with this id at this virtual key, as callers see it.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files INDEXED BY catalog_files_by_provider_id
WHERE project_id = :project_id AND provider_file_id = :provider_file_id AND virtual_key_id = :virtual_key_id
  AND state = 'bound' AND (ends_at IS NULL OR ends_at > :now);

-- name: select_bound_anywhere
-- The project's files with this id at all virtual keys, as callers see them.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files INDEXED BY catalog_files_by_provider_id
WHERE project_id = :project_id AND provider_file_id = :provider_file_id AND state = 'bound' AND (ends_at IS NULL OR ends_at > :now)
ORDER BY virtual_key_id;

-- name: select_owner
-- Who has a file of a credential, if somebody does.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files INDEXED BY catalog_files_live
WHERE account_id = :account_id AND provider_file_id = :provider_file_id AND state IN ('bound', 'deleting');

-- name: bind
-- The upload came to be; nothing is returned when the intent is over.
UPDATE catalog_files
SET state = 'bound', provider_file_id = :provider_file_id, position = :position, bytes = :bytes, status = :status,
    sha256 = coalesce(:sha256, sha256), transformed = :transformed, created_at = :now, expires_at = :expires_at,
    ends_at = :expires_at, claimed_by = NULL, due_at = NULL
WHERE project_id = :project_id AND id = :id AND state IN ('reserved', 'unknown')
RETURNING purpose;

-- name: end_intent
-- The intent came to nothing, or to what another stands for already.
UPDATE catalog_files SET state = :state, closed_at = :now, claimed_by = NULL, due_at = NULL
WHERE project_id = :project_id AND id = :id AND state IN ('reserved', 'unknown');

-- name: end_copy
-- The copy of a file that is over; nothing is returned when it was gone already.
UPDATE files SET deleted_at = :now, collect_after = 0 WHERE project_id = :project_id AND id = :copy_id AND deleted_at IS NULL
RETURNING purpose, bytes, created_by;

-- name: mark_unknown
-- Whoever reconciles may take it at once.
UPDATE catalog_files SET state = 'unknown', claimed_by = NULL, due_at = :now, unresolved_since = :now
WHERE project_id = :project_id AND id = :id AND state = 'reserved';

-- name: release_key
-- The idempotency key stands for this file no longer.
DELETE FROM idempotency_keys WHERE project_id = :project_id AND key_hash = :key_hash AND file_id = :id;

-- name: repoint_key
-- The idempotency key stands for another file.
UPDATE idempotency_keys SET file_id = :other_id WHERE project_id = :project_id AND key_hash = :key_hash AND file_id = :id;

-- name: renew_claim
-- Nothing is returned when the claim is somebody else's, or nothing is left to resolve.
UPDATE catalog_files SET due_at = :due_at
WHERE project_id = :project_id AND id = :id AND claimed_by = :claimed_by AND state IN ('reserved', 'unknown', 'deleting')
RETURNING id;

-- name: put_off
-- An attempt that came to nothing; nothing is returned when the claim is somebody else's, or nothing is left to resolve.
UPDATE catalog_files SET due_at = :due_at, tries = tries + 1
WHERE project_id = :project_id AND id = :id AND claimed_by = :claimed_by AND state IN ('reserved', 'unknown', 'deleting')
RETURNING id;

-- name: begin_delete
-- Callers see it no longer; again for a deletion that was not finished.
UPDATE catalog_files SET state = 'deleting', claimed_by = :claimed_by, due_at = :due_at, tries = 0 WHERE project_id = :project_id AND id = :id;

-- name: cancel_delete
-- It is there as before; nothing is returned when it was not being deleted.
UPDATE catalog_files SET state = 'bound', claimed_by = NULL, due_at = NULL
WHERE project_id = :project_id AND id = :id AND state = 'deleting'
RETURNING id;

-- name: close
-- It is gone.
UPDATE catalog_files SET state = 'closed', closed_at = :now, claimed_by = NULL, due_at = NULL WHERE project_id = :project_id AND id = :id;

-- name: refresh
-- What the provider now says of a file. While a job holds it, it does not end.
UPDATE catalog_files
SET status = :status, bytes = :bytes, filename = :filename, expires_at = :expires_at,
    ends_at = CASE WHEN EXISTS (SELECT 1 FROM catalog_job_files INDEXED BY catalog_holds
                                WHERE project_id = :project_id AND file_id = :id AND holding = 1) THEN NULL ELSE :expires_at END
WHERE project_id = :project_id AND id = :id;

-- name: count
-- Moves the counters of a project at a virtual key.
INSERT INTO catalog_usage (project_id, virtual_key_id, purpose, live_files, stored_bytes)
VALUES (:project_id, :virtual_key_id, :purpose, :files, :bytes)
ON CONFLICT (project_id, virtual_key_id, purpose) DO UPDATE
SET live_files = catalog_usage.live_files + excluded.live_files, stored_bytes = catalog_usage.stored_bytes + excluded.stored_bytes;

-- name: count_live
-- The counter of one purpose, or of all when :purpose is null.
SELECT coalesce(sum(live_files), 0) FROM catalog_usage
WHERE project_id = :project_id AND virtual_key_id = :virtual_key_id AND (:purpose IS NULL OR purpose = :purpose);

-- name: count_live_ended
-- Files that the counter above still includes although they no longer exist.
SELECT count(*) FROM catalog_files INDEXED BY catalog_files_by_end
WHERE project_id = :project_id AND virtual_key_id = :virtual_key_id AND state = 'bound' AND ends_at IS NOT NULL AND ends_at <= :now
  AND (:purpose IS NULL OR purpose = :purpose);

-- name: select_cursor
-- Where a list continues; with a purpose, only behind a file of it. Files that are gone serve as well.
SELECT position FROM catalog_files INDEXED BY catalog_files_by_provider_id
WHERE project_id = :project_id AND provider_file_id = :provider_file_id AND virtual_key_id = :virtual_key_id AND position IS NOT NULL
  AND (:purpose IS NULL OR purpose = :purpose)
ORDER BY position DESC LIMIT 1;

-- name: list_arm
-- The files of one virtual key, in order; what stands in braces depends on the query.
SELECT id, position AS place FROM catalog_files INDEXED BY {index}
WHERE project_id = :project_id AND virtual_key_id = :{key} AND {filter}state = 'bound' AND (ends_at IS NULL OR ends_at > :now)
  AND position {beyond} :cursor;

-- name: list
-- One page of several virtual keys, whose orders are merged. The inner walk touches covering indexes alone, so that an offset costs no
-- table look-ups.
WITH page AS MATERIALIZED ({arms} ORDER BY place {direction} LIMIT :limit OFFSET :offset)
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM page CROSS JOIN catalog_files USING (id) WHERE project_id = :project_id ORDER BY place {direction};

-- name: select_unresolved
-- Unresolved files after one, those due first at the front.
SELECT project_id, id, virtual_key_id, provider, state, provider_file_id, purpose, filename, bytes, media_type, sha256, status,
       reserved_at, created_at, expires_at, closed_at, claimed_by, due_at, created_by,
       transformed, ends_here, tries, copy_id, unresolved_since
FROM catalog_files INDEXED BY catalog_files_unresolved
WHERE state IN ('reserved', 'unknown', 'deleting') AND (due_at, project_id, id) > (:due_at, :project_id, :id)
ORDER BY due_at, project_id, id LIMIT :limit;

-- name: select_due
-- Unresolved files that are due within a time; what stands in braces leaves out virtual keys.
SELECT project_id, id FROM catalog_files INDEXED BY catalog_files_unresolved
WHERE state IN ('reserved', 'unknown', 'deleting') AND due_at > :above AND due_at <= :up_to{without} ORDER BY due_at, project_id, id LIMIT :limit;

-- name: claim
-- Takes on one file. Whoever sent one that is not bound yet has not been heard of since its claim has run out.
UPDATE catalog_files
SET claimed_by = :claimed_by, due_at = :due_at,
    unresolved_since = CASE WHEN state IN ('reserved', 'unknown') AND (unresolved_since IS NULL OR unresolved_since > :now) THEN :now
                            ELSE unresolved_since END
WHERE project_id = :project_id AND id = :id;

-- name: select_ending
-- Files past their end, those that ended first at the front.
SELECT project_id, id FROM catalog_files INDEXED BY catalog_files_ending
WHERE state = 'bound' AND ends_at IS NOT NULL AND ends_at <= :now ORDER BY ends_at, project_id, id LIMIT :limit;

-- name: select_held
-- Files past their expiry that jobs hold, those that have waited longest first, that are due within a time. Far ahead are only claims.
-- What stands in braces leaves out virtual keys.
SELECT project_id, id FROM catalog_files INDEXED BY catalog_files_held
WHERE state = 'bound' AND ends_at IS NULL AND expires_at IS NOT NULL
  AND coalesce(due_at, expires_at) > :above AND coalesce(due_at, expires_at) <= :up_to AND (due_at IS NOT NULL OR :above < 0){without}
ORDER BY coalesce(due_at, expires_at), project_id, id LIMIT :limit;

-- name: select_usage
-- What a project has at one virtual key, or at all when :virtual_key_id is null.
SELECT coalesce(sum(live_files), 0), coalesce(sum(stored_bytes), 0) FROM catalog_usage
WHERE project_id = :project_id AND (:virtual_key_id IS NULL OR virtual_key_id = :virtual_key_id);

-- name: count_users_of_project
-- Files at providers, and jobs there, that a project still has.
SELECT (SELECT coalesce(sum(live_files), 0) FROM catalog_usage WHERE project_id = :id)
     + (SELECT count(*) FROM catalog_files INDEXED BY catalog_files_unresolved
        WHERE state IN ('reserved', 'unknown', 'deleting') AND project_id = :id),
    (SELECT count(*) FROM catalog_jobs INDEXED BY catalog_jobs_in_use_by_project
     WHERE project_id = :id AND state IN ('reserved', 'unknown', 'active'));

-- name: count_users_of_virtual_key
-- Files, and jobs, for which a virtual key is still needed.
SELECT (SELECT coalesce(sum(live_files), 0) FROM catalog_usage INDEXED BY catalog_usage_by_virtual_key WHERE virtual_key_id = :id)
     + (SELECT count(*) FROM catalog_files INDEXED BY catalog_files_unresolved
        WHERE state IN ('reserved', 'unknown', 'deleting') AND virtual_key_id = :id),
    (SELECT count(*) FROM catalog_jobs INDEXED BY catalog_jobs_in_use
     WHERE virtual_key_id = :id AND state IN ('reserved', 'unknown', 'active'));

-- name: recount_catalog
-- What the counters should be, from the files themselves. One scan of them all.
SELECT project_id, virtual_key_id, purpose, count(*), coalesce(sum(bytes), 0) FROM catalog_files
WHERE state = 'bound' GROUP BY project_id, virtual_key_id, purpose;

-- name: select_catalog_counters
-- What the counters are.
SELECT project_id, virtual_key_id, purpose, live_files, stored_bytes FROM catalog_usage;
