-- name: forget_virtual_keys
-- Which fields there were stays known; what they held is gone.
UPDATE virtual_keys
SET encrypted_fields = (SELECT json_object_agg(fields.key, '')::text FROM json_each_text(encrypted_fields::json) AS fields),
    version = version + 1, updated_at = :now
WHERE encrypted_fields != '{}';
