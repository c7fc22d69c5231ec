-- The lowest schema version that a binary must know to work with this schema. The table exists from version 5 on.
SELECT oldest_version FROM compatibility
