-- The tables and indexes of this database that have files: the number of the database (0 for what all databases share) and of the file,
-- the kind ('r' a table, 'i' an index, 't' the long values of a table …), whether a checkpoint leaves it out, and the name and number of
-- the table, the index, or the table that has the long values.
SELECT CASE WHEN relations.relisshared THEN 0::oid ELSE databases.oid END AS database, pg_relation_filenode(relations.oid) AS file,
    relations.relkind::text AS kind, relations.relpersistence = 'u' AS is_unlogged,
    coalesce(owners.oid, relations.oid)::regclass::text AS name,
    coalesce(owners.oid, relations.oid) AS number
FROM pg_class AS relations
JOIN pg_database AS databases ON databases.datname = current_database()
LEFT JOIN pg_class AS owners ON owners.reltoastrelid = relations.oid
WHERE pg_relation_filenode(relations.oid) IS NOT NULL
