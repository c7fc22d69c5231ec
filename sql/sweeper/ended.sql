-- All shards: it reads only, and each shard finds its first $3 rows of a kind by an index.
-- The sessions that ended for certain, as sweep.sql finds them, those first whose end is the longest ago: at most $3 for each
-- reason. $1 and $2: the seconds of the idle timeout and of the maximum age.
SELECT id FROM (
    (
        SELECT id, last_used_hour::bigint * 3600 + $1::bigint AS ends_at FROM sessions
        WHERE last_used_hour <= floor((extract(epoch FROM now()) - 600 - $1::bigint) / 3600)::integer - 1
        ORDER BY last_used_hour LIMIT $3::integer
    ) UNION ALL (
        SELECT id, created_hour::bigint * 3600 + $2::bigint AS ends_at FROM sessions
        WHERE created_hour < last_used_hour
            AND created_hour <= floor((extract(epoch FROM now()) - 600 - $2::bigint) / 3600)::integer - 1
        ORDER BY created_hour LIMIT $3::integer
    ) UNION ALL (
        SELECT id, last_used_hour::bigint * 3600 + idle_timeout_seconds AS ends_at FROM sessions
        WHERE idle_timeout_seconds IS NOT NULL
            AND last_used_hour::bigint * 3600 + idle_timeout_seconds <= floor(extract(epoch FROM now()))::bigint - 600 - 3600
        ORDER BY last_used_hour::bigint * 3600 + idle_timeout_seconds LIMIT $3::integer
    )
) AS found
GROUP BY id ORDER BY min(ends_at)
