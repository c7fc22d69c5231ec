-- Bounds in milliseconds until the end of the transaction: of a wait for a lock ($1), and of a statement and an idle transaction ($2).
-- A transaction has its own since a pooler may drop those of the connection.
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true),
    set_config('idle_in_transaction_session_timeout', $2, true)
