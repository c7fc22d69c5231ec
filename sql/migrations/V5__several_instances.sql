-- What several instances of the service on one database need to know of each other.

-- The turn of a session that runs now, so that no other instance answers it too. A turn takes the session when it stores its
-- question at `position`; the session is free again when the message behind that exists, or at ends_at, which its instance moves
-- on while it runs. claim: random, of this turn alone. is_stopped: another instance was asked to stop the turn.
-- UNLOGGED: it is not in the write-ahead log, on a standby or in a backup; after a crash of the server it is empty, and then a
-- message can only not be stored twice.
CREATE UNLOGGED TABLE turns (
    session_id uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    claim uuid NOT NULL,
    ends_at timestamptz NOT NULL,
    is_stopped boolean NOT NULL DEFAULT false
);

-- As for the other tables: deleted and replaced rows are removed however few they are.
ALTER TABLE turns SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- The lowest schema version that a binary must know to work with this schema. A migration that only adds leaves it; one that
-- takes something away, which older binaries need, raises it.
CREATE TABLE compatibility (oldest_version integer NOT NULL);
INSERT INTO compatibility VALUES (5);
