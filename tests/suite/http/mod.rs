//! The HTTP server by itself, with an application of the tests' own, and the binary under hostile clients.

mod bounds;
mod faults;
mod parsing;
mod readiness;
mod requests;
mod responder;
mod responses;
