//! A synchronous HTTP/1.1 server (RFC 9110, RFC 9112): bounded, strict, on a fixed number of threads.
//!
//! It knows nothing of the [`Application`] it serves. The language between them is rouille's [`Request`] and [`Response`].
//!
//! - [`Server`]: starts and stops. [`Limits`]: its bounds. [`Responder`]: how a request is answered, whole or in pieces.
//! - `serving`: what a worker does for a connection until that has to wait. The life of a request is here. `worker`: the
//!   threads. `piece_writing`: what the sender of a stream does in the place of a worker.
//! - `connection`, `step`: the state machine of one connection, and what it needs next. `head`, `body`: what a client sends.
//!   `response_head`, `response_writer`, `reply`, `read_rate`: what it receives, and how fast.
//! - `poller`, `acceptor`, `refusing`: what the leading worker does: polls, accepts, refuses, ends what takes too long.
//! - `shared`, `scheduler`: the one lock, and which worker leads, serves or sleeps (Leader/Followers).
//! - `table`, `slot`, `exchange`, `deadlines`: every connection, its holder and its deadline. `run_queue`,
//!   `queueing`: the order in which workers take them. `giving_way`, `peer_connections`: which one gives way to others.
//! - `budget`: the memory of responses.
//! - [`Application`], [`Refusal`]: what is served, and what the server answers without it.

mod acceptor;
mod application;
mod body;
mod budget;
mod connection;
mod deadlines;
mod exchange;
mod giving_way;
mod head;
mod limits;
#[cfg(test)]
mod parsing_tests;
mod peer_connections;
mod piece_writing;
mod poller;
mod queueing;
mod read_rate;
mod refusal;
mod refusing;
mod reply;
mod responder;
mod response_head;
mod response_writer;
mod run_queue;
mod scheduler;
mod server;
mod serving;
mod shared;
mod slot;
mod standby;
mod step;
mod table;
mod worker;

pub use rouille::{Request, Response, ResponseBody};

pub use application::Application;
pub use budget::MAX_PIECE_BYTES;
pub use head::MAX_FIELDS;
pub use limits::Limits;
pub use refusal::{Refusal, RefusedFields};
pub use reply::{MAX_BUFFERED_BYTES, Piece, SendError};
pub use responder::{PieceResponder, Responder, StreamSender};
pub use response_head::reason;
pub use server::{Observer, Server, ServerState, raise_limit};
pub use slot::DisconnectCallback;
