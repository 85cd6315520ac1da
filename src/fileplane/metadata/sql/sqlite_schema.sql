-- name: select_schema
-- Every table and index as it was made; the engine's own are left out.
SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\';
