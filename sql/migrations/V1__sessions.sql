-- A session is an id and when it began: nothing about the person, the device or the network is stored.
-- Whatever later belongs to a session refers to sessions (id) ON DELETE CASCADE, so that one DELETE erases all of it.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL
);
