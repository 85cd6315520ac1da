-- name: insert_job
-- A job that is about to be created.
INSERT INTO catalog_jobs (project_id, id, virtual_key_id, account_id, provider, kind, state, reserved_at, claimed_by, due_at, created_by)
VALUES (:project_id, :id, :virtual_key_id, :account_id, :provider, :kind, 'reserved', :now, :claimed_by, :due_at, :created_by);

-- name: insert_job_file
-- What a job uses, or what came of it.
INSERT INTO catalog_job_files (project_id, job_id, role, provider_file_id, file_id, holding)
VALUES (:project_id, :job_id, :role, :provider_file_id, :file_id, :holding);

-- name: select_job
-- One job, whatever its state.
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM catalog_jobs WHERE project_id = :project_id AND id = :id;

-- name: select_job_account
-- Whose credential it was created with.
SELECT account_id FROM catalog_jobs WHERE project_id = :project_id AND id = :id;

-- name: select_bound_job
-- The project's job with this id at this virtual key.
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM catalog_jobs INDEXED BY catalog_jobs_by_provider_id
WHERE project_id = :project_id AND kind = :kind AND provider_job_id = :provider_job_id AND virtual_key_id = :virtual_key_id
  AND state IN ('active', 'ended');

-- name: select_bound_jobs_anywhere
-- The project's jobs with this id at all virtual keys.
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM catalog_jobs INDEXED BY catalog_jobs_by_provider_id
WHERE project_id = :project_id AND kind = :kind AND provider_job_id = :provider_job_id AND state IN ('active', 'ended')
ORDER BY virtual_key_id;

-- name: select_job_owner
-- Whose job of a credential it is, if it is somebody's.
SELECT project_id, id FROM catalog_jobs INDEXED BY catalog_jobs_live
WHERE account_id = :account_id AND kind = :kind AND provider_job_id = :provider_job_id AND state IN ('active', 'ended');

-- name: bind_job
-- The job exists.
UPDATE catalog_jobs
SET state = 'active', provider_job_id = :provider_job_id, position = :position, created_at = :now, claimed_by = NULL, due_at = NULL
WHERE project_id = :project_id AND id = :id AND state IN ('reserved', 'unknown');

-- name: mark_job_unknown
-- Whoever reconciles may take it at once.
UPDATE catalog_jobs SET state = 'unknown', claimed_by = NULL, due_at = :now
WHERE project_id = :project_id AND id = :id AND state = 'reserved';

-- name: set_job_state
-- The last status word and what follows from it; a job that is over has ended once.
UPDATE catalog_jobs
SET state = :state, status = :status, claimed_by = NULL, due_at = NULL,
    ended_at = CASE WHEN :state = 'active' THEN NULL ELSE coalesce(ended_at, :now) END
WHERE project_id = :project_id AND id = :id;

-- name: select_result
-- Whether something is known as a result of a job.
SELECT 1 FROM catalog_job_files
WHERE project_id = :project_id AND job_id = :job_id AND role = 'result' AND provider_file_id = :provider_file_id;

-- name: put_off_end
-- A file that is held does not end.
UPDATE catalog_files SET ends_at = NULL WHERE project_id = :project_id AND id = :file_id AND ends_at IS NOT NULL;

-- name: release_holds
-- The job needs its inputs no longer.
UPDATE catalog_job_files SET holding = 0
WHERE project_id = :project_id AND job_id = :job_id AND role = 'input' AND holding = 1
RETURNING file_id;

-- name: resume_end
-- A file that nothing holds any more ends when it expires.
UPDATE catalog_files SET ends_at = expires_at, claimed_by = NULL, due_at = NULL
WHERE project_id = :project_id AND id = :file_id AND expires_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM catalog_job_files INDEXED BY catalog_holds
                  WHERE project_id = :project_id AND file_id = :file_id AND holding = 1);

-- name: select_holders
-- The jobs that hold a file, oldest first.
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM catalog_jobs
WHERE project_id = :project_id
  AND id IN (SELECT job_id FROM catalog_job_files INDEXED BY catalog_holds
             WHERE project_id = :project_id AND file_id = :file_id AND holding = 1)
ORDER BY id LIMIT :limit;

-- name: select_job_cursor
-- Where a list continues.
SELECT position FROM catalog_jobs INDEXED BY catalog_jobs_by_provider_id
WHERE project_id = :project_id AND kind = :kind AND provider_job_id = :provider_job_id AND virtual_key_id = :virtual_key_id
  AND position IS NOT NULL ORDER BY position DESC LIMIT 1;

-- name: list_jobs_arm
-- The jobs of one virtual key, in order; what stands in braces depends on the query.
SELECT id, position AS place FROM catalog_jobs INDEXED BY catalog_jobs_by_time
WHERE project_id = :project_id AND virtual_key_id = :{key} AND kind = :kind AND state IN ('active', 'ended')
  AND position {beyond} :cursor;

-- name: list_jobs
-- One page of several virtual keys, whose orders are merged.
WITH page AS MATERIALIZED ({arms} ORDER BY place {direction} LIMIT :limit)
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM page CROSS JOIN catalog_jobs USING (id) WHERE project_id = :project_id ORDER BY place {direction};

-- name: select_unresolved_jobs
-- Unresolved jobs after one, those due first at the front.
SELECT project_id, id, virtual_key_id, provider, kind, state, provider_job_id, status, reserved_at, created_at, ended_at, claimed_by,
       due_at, created_by,
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'input'),
       (SELECT json_group_array(provider_file_id) FROM catalog_job_files
        WHERE project_id = catalog_jobs.project_id AND job_id = catalog_jobs.id AND role = 'result')
FROM catalog_jobs INDEXED BY catalog_jobs_unresolved
WHERE state IN ('reserved', 'unknown') AND (due_at, project_id, id) > (:due_at, :project_id, :id)
ORDER BY due_at, project_id, id LIMIT :limit;

-- name: select_due_jobs
-- Unresolved jobs that are due within a time; what stands in braces leaves out virtual keys.
SELECT project_id, id FROM catalog_jobs INDEXED BY catalog_jobs_unresolved
WHERE state IN ('reserved', 'unknown') AND due_at > :above AND due_at <= :up_to{without} ORDER BY due_at, project_id, id LIMIT :limit;

-- name: claim_job
-- Takes on one unresolved job.
UPDATE catalog_jobs SET claimed_by = :claimed_by, due_at = :due_at WHERE project_id = :project_id AND id = :id;
