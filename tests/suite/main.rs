//! Black-box tests: through HTTP, the command line and the public API, against a real PostgreSQL.
//!
//! Most tests share one PostgreSQL that this process starts, each in a schema of its own; set `TEST_DATABASE_URL` to
//! use another. Tests that disturb a server, or need one with TLS, start their own.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

mod bad_input;
mod batches;
mod bounds;
mod chat;
mod chat_erasure;
mod chat_faults;
mod chat_keys;
mod chat_load;
mod chat_model;
mod chat_paging;
mod chat_services;
mod chat_streams;
mod chat_time;
mod companion_configuration;
mod configuration;
mod documentation;
mod health;
mod http_bounds;
mod http_faults;
mod http_later;
mod http_parsing;
mod http_requests;
mod http_responses;
mod http_wakeups;
mod logs;
mod metrics;
mod migrations;
mod model;
mod model_circuit;
mod model_faults;
mod model_stand_in;
mod outages;
mod private_postgres;
mod process;
mod repository;
mod script;
mod script_file;
mod sealed;
mod sealed_files;
mod sealing;
mod service;
mod sessions;
mod shared_statements;
mod tls;
