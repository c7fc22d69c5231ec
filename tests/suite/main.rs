//! Black-box tests: through HTTP, the command line and the public API, against a real PostgreSQL.
//!
//! Most tests share one PostgreSQL that this process starts, each in a schema of its own; set `TEST_DATABASE_URL` to
//! use another, or `CITUS_DATABASE_URL` for the coordinator of a Citus, which then distributes the tables. Tests that disturb a server, or need one with TLS, start their own.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

mod admission;
mod api;
mod chat;
mod companion;
mod documents;
mod http;
mod operations;
mod privacy;
mod reports;
mod resources;
mod retention;
mod store;
mod web;
