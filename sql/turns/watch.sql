-- All shards: it reads only, and asks the shards of these sessions.
-- The sessions of $1 that exist, each with its claim: NULLs where it has none.
SELECT sessions.id AS session_id, turns.claim, turns.is_stopped, turns.ends_at > now() AS is_live
FROM sessions LEFT JOIN turns ON turns.session_id = sessions.id AND turns.session_id = ANY($1::uuid[])
WHERE sessions.id = ANY($1::uuid[])
