-- Takes again the claim of a turn that runs, which a crash of the server has emptied.
INSERT INTO turns (session_id, position, claim, ends_at)
VALUES ($1::uuid, $2::integer, $3::uuid, now() + interval '5 seconds')
ON CONFLICT DO NOTHING
