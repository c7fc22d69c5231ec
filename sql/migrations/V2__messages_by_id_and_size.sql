-- A message is found by its id without reading the others of its session, and each Idempotency-Key has one question and one
-- answer. The primary key does not need the id any more, so that the two indexes are little larger than the one.
ALTER TABLE messages
    DROP CONSTRAINT messages_pkey,
    ADD PRIMARY KEY (session_id, position),
    ADD CONSTRAINT messages_session_id_id_key UNIQUE (session_id, id),
    ADD COLUMN total_bytes bigint;

-- The sealed bytes of a session up to and including this message, so that the newest message tells the session's size.
UPDATE messages SET total_bytes = summed.total_bytes
FROM (
    SELECT session_id, position, sum(octet_length(sealed)) OVER (PARTITION BY session_id ORDER BY position) AS total_bytes
    FROM messages
) AS summed
WHERE messages.session_id = summed.session_id AND messages.position = summed.position;

ALTER TABLE messages ALTER COLUMN total_bytes SET NOT NULL;

-- The planner assumes that a session has a hundred messages. ANALYZE would count the average of all sessions, which may be
-- one, and then a plan that reads the whole of a session seems to be as good as any.
ALTER TABLE messages ALTER COLUMN session_id SET (n_distinct = -0.01);
