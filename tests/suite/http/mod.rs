//! The HTTP server with an application for tests, and the binary under hostile clients.

mod answer_memory;
mod disconnects;
mod faults;
mod limits;
mod long_bodies;
mod peers;
mod pipelining;
mod pull_streams;
mod readiness;
mod request_delivery;
mod requests;
mod responder;
mod responses;
mod shutdown;
mod streams;
mod timeouts;
