-- append.sql for several messages: each array has one value per message. Locks are taken in the order of ids, as everywhere,
-- so that concurrent statements do not deadlock.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::bytea[], $5::bigint[])
        AS wanted (session_id, position, id, sealed, total_bytes)
), locked AS (
    SELECT id FROM sessions WHERE id IN (SELECT session_id FROM wanted) ORDER BY id FOR KEY SHARE
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, position, wanted.id, sealed, total_bytes FROM wanted JOIN locked ON locked.id = session_id
    ORDER BY session_id, position
    ON CONFLICT DO NOTHING
    RETURNING session_id, id
)
SELECT wanted.session_id, wanted.id, stored.id IS NOT NULL AS is_stored
FROM wanted JOIN locked ON locked.id = wanted.session_id
LEFT JOIN stored ON stored.session_id = wanted.session_id AND stored.id = wanted.id
