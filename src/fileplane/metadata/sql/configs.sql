-- name: insert_config
-- A config; nothing is returned when another has its slug.
INSERT INTO configs (id, project_id, slug, name, number, created_at, updated_at, created_by, updated_by)
VALUES (:id, :project_id, :slug, :name, 1, :now, :now, :by, :by)
ON CONFLICT (slug) DO NOTHING RETURNING id;

-- name: insert_version
-- A document, encrypted.
INSERT INTO config_versions (config_id, number, id, encrypted, created_at, created_by)
SELECT id, number, :version_id, :encrypted, :now, :by FROM configs WHERE id = :id;

-- name: select_config
-- One config with its document in force.
SELECT configs.id, configs.project_id, configs.slug, configs.name, configs.number, config_versions.id, encrypted,
       (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = config_versions.id),
       EXISTS (SELECT 1 FROM projects WHERE projects.id = configs.project_id AND default_config = configs.slug),
       configs.created_at, configs.updated_at, configs.created_by, configs.updated_by
FROM configs JOIN config_versions ON config_id = configs.id AND config_versions.number = configs.number
WHERE configs.slug = :slug;

-- name: select_configs
-- Those of one project, or of all when :project_id is null, oldest first.
SELECT configs.id, configs.project_id, configs.slug, configs.name, configs.number, config_versions.id, encrypted,
       (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = config_versions.id),
       EXISTS (SELECT 1 FROM projects WHERE projects.id = configs.project_id AND default_config = configs.slug),
       configs.created_at, configs.updated_at, configs.created_by, configs.updated_by
FROM configs JOIN config_versions ON config_id = configs.id AND config_versions.number = configs.number
WHERE :project_id IS NULL OR configs.project_id = :project_id
ORDER BY configs.created_at, configs.id;

-- name: select_versions
-- Every document of a config, newest first.
SELECT id, number, encrypted, (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = config_versions.id),
       created_at, created_by
FROM config_versions WHERE config_id = :id ORDER BY number DESC;

-- name: update_config
-- A name that is null stays as it is. Nothing is returned when another document came into force meanwhile.
UPDATE configs SET name = coalesce(:name, name), number = number + :step, updated_at = :now, updated_by = :by
WHERE id = :id AND number = :number RETURNING id;

-- name: delete_config
-- What belongs to it goes with it.
DELETE FROM configs WHERE id = :id;

-- name: delete_needs
-- The data keys that its documents need.
DELETE FROM data_key_needs WHERE owner_id IN (SELECT id FROM config_versions WHERE config_id = :id);

-- name: delete_used_virtual_keys
-- To be followed by those that the new document names.
DELETE FROM config_virtual_keys WHERE config_id = :id;

-- name: delete_used_configs
-- To be followed by those that the new document names.
DELETE FROM config_configs WHERE config_id = :id;

-- name: insert_used_virtual_key
-- Nothing is returned when the project may use none of that slug.
INSERT INTO config_virtual_keys (config_id, virtual_key_id)
SELECT :id, virtual_keys.id FROM virtual_keys JOIN virtual_key_projects ON virtual_key_id = virtual_keys.id
WHERE slug = :slug AND project_id = :project_id
RETURNING virtual_key_id;

-- name: insert_used_config
-- Nothing is returned when the project has none of that slug.
INSERT INTO config_configs (config_id, used_id)
SELECT :id, configs.id FROM configs WHERE slug = :slug AND project_id = :project_id
RETURNING used_id;

-- name: select_circle
-- A row when a config leads back to itself.
WITH RECURSIVE reached (id) AS (
    SELECT used_id FROM config_configs WHERE config_id = :id
    UNION
    SELECT used_id FROM config_configs JOIN reached ON config_id = reached.id
)
SELECT 1 FROM reached WHERE id = :id;

-- name: select_users
-- What names a config: other configs, its project, API keys.
SELECT 'config ' || slug FROM config_configs JOIN configs ON configs.id = config_id WHERE used_id = :id AND config_id != :id
UNION ALL SELECT 'project ' || slug FROM projects WHERE default_config = :slug
UNION ALL SELECT 'API key ' || id FROM api_keys WHERE default_config = :slug AND revoked_at IS NULL;
