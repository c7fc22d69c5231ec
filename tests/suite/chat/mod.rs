//! Chat through the API: turns, streams, idempotency, history, deadlines, erasure.

mod answered_at_once;
mod claims;
mod context;
mod deadlines;
mod erasure;
mod faults;
mod history;
mod idempotency;
mod invented_sessions;
mod large_histories;
mod load;
mod messages;
mod safety;
mod session_limits;
mod several_instances;
mod shared_companion;
mod streams;
