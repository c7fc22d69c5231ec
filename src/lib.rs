//! SafeSpace: the backend of an anonymous chatbot, a blocking server on PostgreSQL.
//!
//! The modules in reading order; each may use only those below it in this list, and `tests/suite/operations/repository.rs`
//! fails on an import that points up.
//!
//! - `main` (the binary): arguments, exit codes, the wait for a signal.
//! - [`check`]: says what the service would start with, for the operator.
//! - [`app`]: puts the parts together, starts and stops them in order.
//! - [`exporter`]: the operator's port, with what is counted.
//! - [`api`]: what a client sees; the route table and the life of a request are here.
//! - [`turns`]: the life of a turn, from what a person said to what was answered.
//! - [`companion`]: who answers a person, by a script or through a model.
//! - [`store`]: PostgreSQL; the pool, the migrations, the private server, one file per table.
//! - [`metrics`]: what is counted for the operator.
//! - [`logging`]: what is logged, and what never is.
//! - [`config`]: every setting, read once from the environment.
//! - [`http`]: a synchronous HTTP/1.1 server that knows nothing of the rest.
//! - [`conversation`]: what was said in a session, as it is sealed and opened.
//! - [`sealing`]: how what is stored can be read with a session's id alone.
//! - [`session_id`]: the one secret of a session, as a type that cannot be printed by accident.

pub mod api;
pub mod app;
pub mod check;
pub mod companion;
pub mod config;
pub mod conversation;
pub mod exporter;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod sealing;
pub mod session_id;
pub mod store;
pub mod turns;
