-- Since when nobody sends a file any more whose upload nobody knows the end of, in seconds: a slow upload may have begun hours before.
ALTER TABLE catalog_files ADD COLUMN unresolved_since INTEGER;
