-- name: insert_virtual_key
-- A virtual key under a slug that no other has.
INSERT INTO virtual_keys (
    id, slug, name, provider, note, custom_host, sharing, clear_fields, encrypted_fields, reference_fields,
    integration_id, expires_at, version, created_at, updated_at, keep_copy
)
VALUES (
    :id, :slug, :name, :provider, :note, :custom_host, :sharing, :clear_fields, :encrypted_fields, :reference_fields,
    :integration_id, :expires_at, 1, :now, :now, :keep_copy
);

-- name: update_virtual_key
-- Everything but id, slug and provider; nothing is returned when it was changed meanwhile.
UPDATE virtual_keys
SET name = :name, keep_copy = :keep_copy, note = :note, custom_host = :custom_host, sharing = :sharing, clear_fields = :clear_fields,
    encrypted_fields = :encrypted_fields, reference_fields = :reference_fields, expires_at = :expires_at, version = version + 1, updated_at = :now
WHERE id = :id AND version = :version
RETURNING id;

-- name: delete_virtual_key
-- What belongs to it goes with it.
DELETE FROM virtual_keys WHERE id = :id RETURNING id;

-- name: select_virtual_key
-- The virtual key that a slug addresses.
SELECT id, slug, name, provider, note, custom_host, sharing,
    (SELECT json_group_array(project_id) FROM virtual_key_projects WHERE virtual_key_id = virtual_keys.id),
    clear_fields, reference_fields, encrypted_fields,
    (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = virtual_keys.id),
    (SELECT used.slug FROM virtual_keys AS used WHERE used.id = virtual_keys.integration_id), expires_at,
    version, created_at, updated_at, keep_copy
FROM virtual_keys WHERE slug = :slug;

-- name: select_virtual_keys
-- Those that a project may use, or all when :project_id is null, oldest first.
SELECT id, slug, name, provider, note, custom_host, sharing,
    (SELECT json_group_array(project_id) FROM virtual_key_projects WHERE virtual_key_id = virtual_keys.id),
    clear_fields, reference_fields, encrypted_fields,
    (SELECT json_group_array(data_key_id) FROM data_key_needs WHERE owner_id = virtual_keys.id),
    (SELECT used.slug FROM virtual_keys AS used WHERE used.id = virtual_keys.integration_id), expires_at,
    version, created_at, updated_at, keep_copy
FROM virtual_keys
WHERE :project_id IS NULL OR id IN (SELECT virtual_key_id FROM virtual_key_projects WHERE project_id = :project_id)
ORDER BY created_at, id;

-- name: delete_projects_of_virtual_key
-- To be followed by those that may use it from now on.
DELETE FROM virtual_key_projects WHERE virtual_key_id = :id;

-- name: insert_project_of_virtual_key
-- One project that may use it.
INSERT INTO virtual_key_projects (virtual_key_id, project_id) VALUES (:id, :project_id);

-- name: select_integration
-- A credential of its own, of this provider.
SELECT id FROM virtual_keys WHERE slug = :slug AND integration_id IS NULL AND provider = :provider;

-- name: select_users
-- What names a virtual key: configs, and others that use its credential.
SELECT 'config ' || slug FROM config_virtual_keys JOIN configs ON configs.id = config_id WHERE virtual_key_id = :id
UNION ALL SELECT 'virtual key ' || slug FROM virtual_keys WHERE integration_id = :id;

-- name: select_users_without_right
-- Configs that name a virtual key although their projects may use it no longer.
SELECT 'config ' || slug FROM config_virtual_keys JOIN configs ON configs.id = config_id
WHERE virtual_key_id = :id
  AND project_id NOT IN (SELECT project_id FROM virtual_key_projects WHERE virtual_key_id = :id);
