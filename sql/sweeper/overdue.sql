-- All shards: it reads only, and each shard finds its first row of a kind by an index.
-- Seconds since the end of the session that ended first, counted as sweep.sql does; 0 where none has
-- ended. $1 and $2: the seconds of the idle timeout and of the maximum age.
SELECT greatest(0, floor(extract(epoch FROM now()))::bigint - 600 - 3600 - least(
    (SELECT last_used_hour::bigint * 3600 + $1::bigint FROM sessions ORDER BY last_used_hour LIMIT 1),
    (SELECT created_hour::bigint * 3600 + $2::bigint FROM sessions WHERE created_hour < last_used_hour
     ORDER BY created_hour LIMIT 1),
    (SELECT last_used_hour::bigint * 3600 + idle_timeout_seconds FROM sessions WHERE idle_timeout_seconds IS NOT NULL
     ORDER BY last_used_hour::bigint * 3600 + idle_timeout_seconds LIMIT 1)
)) AS seconds
