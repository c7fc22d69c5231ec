-- Makes the table $1 one that every node has.
SELECT create_reference_table($1::text::regclass)
