//! SafeSpace: the backend of an anonymous chatbot, a blocking server on PostgreSQL.
//!
//! The modules in reading order. Each uses only those below it in this list; `tests/suite/operations/repository.rs` fails on
//! an import that points up, and on any circle of files.
//!
//! - `main` (the binary): exit codes, signals.
//! - [`arguments`]: the command line.
//! - [`check`]: prints what the service would start with, for the operator.
//! - [`verify_erasure`]: searches everything that can be reached for what is left of a session.
//! - [`doctor`]: reads the running deployment and finds what is not as it should be.
//! - [`app`]: connects the parts, starts and stops them in order.
//! - [`exporter`]: the Prometheus endpoint.
//! - [`api`]: the routes and their handlers: what a client sees.
//! - [`privacy`]: what the service promises of privacy, computed from the parts that are in use.
//! - [`web`]: the page that people open in a browser: its texts, its files, its HTML.
//! - [`admission`]: who is admitted before any work: rates, and proof of work.
//! - [`turns`]: the life of a turn, from the user's message to the stored answer.
//! - [`retention`]: when a session ends.
//! - [`report`]: a report from five answers, without any fact that was not given.
//! - [`companion`]: answers a conversation, by a script or through a model.
//! - [`private_postgres`]: a PostgreSQL of the service's own.
//! - [`store`]: PostgreSQL: the pool, group commit, migrations, one file per table.
//! - [`metrics`]: counters and histograms.
//! - [`logging`]: the log, written by a thread of its own.
//! - [`config`]: every setting, read once from the environment.
//! - [`http`]: a bounded synchronous HTTP/1.1 server.
//! - [`peers`]: tells clients apart by their network, without keeping an address.
//! - [`sync`]: cancellation token, thread pool, timers.
//! - [`document`]: a document to hand in, as text, Markdown, HTML and PDF.
//! - [`resources`]: the help lines that texts and answers may name.
//! - [`data_file`]: the files of texts that an operator can edit.
//! - [`language`]: the languages of the service's own texts.
//! - [`message`]: one message of a conversation, sealed and opened.
//! - [`sealing`]: authenticated encryption under keys that are derived from a session's id.
//! - [`session_id`]: the session's only credential, as a type that cannot be printed by accident.
//! - [`memory`]: buffers and stacks that are overwritten, and no dumps.

pub mod admission;
pub mod api;
pub mod app;
pub mod arguments;
pub mod check;
pub mod companion;
pub mod config;
pub mod data_file;
pub mod doctor;
pub mod document;
pub mod exporter;
pub mod http;
pub mod language;
pub mod logging;
pub mod memory;
pub mod message;
pub mod metrics;
pub mod peers;
pub mod privacy;
pub mod private_postgres;
pub mod report;
pub mod resources;
pub mod retention;
pub mod sealing;
pub mod session_id;
pub mod store;
pub mod sync;
pub mod turns;
pub mod verify_erasure;
pub mod web;
