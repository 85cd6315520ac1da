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
