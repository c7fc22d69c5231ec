-- Takes again the claims of turns that run, which a crash of the server has emptied. One value per claim in each array.
INSERT INTO turns (session_id, position, claim, ends_at)
SELECT session_id, position, claim, now() + interval '5 seconds'
FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS lost (session_id, position, claim)
ORDER BY session_id
ON CONFLICT DO NOTHING
