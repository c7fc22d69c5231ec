//! PostgreSQL: shared statements, migrations, outages, TLS, the private server, and room for its data.

mod migrations;
mod outages;
mod planted_files;
mod private_postgres;
mod shared_statements;
mod storage;
mod tls;
