//! What the benches share: PostgreSQL, processes, rows, signals, a client, charts. None uses all of it.

pub(crate) mod chart;
pub(crate) mod client;
pub(crate) mod completion_request;
pub(crate) mod machine;
pub(crate) mod outcome;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod processes;
pub(crate) mod proof_of_work;
pub(crate) mod report;
pub(crate) mod rows;
pub(crate) mod server;
pub(crate) mod stop;
