-- Nothing here can be read without a session's id, which is not here: no word, no name of who spoke, no exact time.
-- src/sealing.rs says how that is done, and docs/privacy.md what is left to be seen.

-- id is derived from the session's id. Whatever belongs to a session refers to it ON DELETE CASCADE, so that one DELETE
-- erases all of it.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    sealed bytea NOT NULL
);

-- position counts a session's messages from 1 without gaps. One index serves the conversation in its order, and finding
-- a message by its id among those of its session.
CREATE TABLE messages (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    id uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (session_id, position) INCLUDE (id)
);

-- Sealed bytes do not get smaller.
ALTER TABLE messages ALTER COLUMN sealed SET STORAGE EXTERNAL;
