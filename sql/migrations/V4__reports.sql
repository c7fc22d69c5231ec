-- Reports, sealed like messages. position counts the reports of a session from 1; a deleted report leaves a gap. A session has few.
CREATE TABLE reports (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    id uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (session_id, position),
    UNIQUE (session_id, id)
);

-- Sealed bytes do not get smaller.
ALTER TABLE reports ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- When a report of the session was last made or changed, sealed; NULL without one. It tells when the session ends.
ALTER TABLE sessions ADD COLUMN last_report bytea;

-- As for the other tables: deleted and replaced rows are removed however few they are.
ALTER TABLE reports SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 0, toast.autovacuum_vacuum_scale_factor = 0);
