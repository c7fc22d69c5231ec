//! PostgreSQL: shared statements, migrations, outages, faults, TLS, the private server, and room for its data.

mod data_upgrades;
mod distribution;
mod durability;
mod erasing;
mod failed_starts;
mod failover;
mod faults;
mod left_over_files;
mod migrations;
mod outages;
mod planted_files;
mod private_postgres;
mod private_wal;
mod reads;
mod shared_statements;
mod statement_costs;
mod storage;
mod tls;
