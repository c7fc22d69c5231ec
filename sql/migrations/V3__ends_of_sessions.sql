-- Every session ends. The exact times that decide it are sealed; these hours since 1970 are for the sweeper, which cannot open
-- them. docs/privacy.md says what they show. The server's clock sets and compares them, so that services whose clocks differ
-- agree. The sessions that exist get the hour of the migration.
ALTER TABLE sessions
    ADD COLUMN created_hour integer NOT NULL DEFAULT floor(extract(epoch FROM now()) / 3600)::integer,
    ADD COLUMN last_used_hour integer NOT NULL DEFAULT floor(extract(epoch FROM now()) / 3600)::integer,
    -- The session's own choice; NULL for the operator's.
    ADD COLUMN idle_timeout_seconds integer;

-- A new session has an entry in the first index only. The second is for the maximum age: where the two hours are equal, the
-- first tells it too.
CREATE INDEX sessions_last_used_hour ON sessions (last_used_hour);
CREATE INDEX sessions_created_hour ON sessions (created_hour) WHERE created_hour < last_used_hour;
CREATE INDEX sessions_own_end ON sessions ((last_used_hour::bigint * 3600 + idle_timeout_seconds))
    WHERE idle_timeout_seconds IS NOT NULL;

-- Autovacuum looks at the tables once in its naptime (a minute by default), and removes deleted rows however few they are:
-- by default it would wait until a fifth of a table is deleted.
ALTER TABLE sessions SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 0, toast.autovacuum_vacuum_scale_factor = 0);
ALTER TABLE messages SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 0, toast.autovacuum_vacuum_scale_factor = 0);
