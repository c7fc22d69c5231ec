//! Answers the user's messages, with a script or through a language model. It knows nothing of sessions, HTTP requests or
//! PostgreSQL.
//!
//! - `interface`: the trait and its types.
//! - `build`: makes the companion that the configuration describes.
//! - `script`: prewritten replies, selected by the words of the last message.
//! - `model`: a language model behind an OpenAI-compatible endpoint, with one retry and a circuit breaker.
//! - `endpoint`: one HTTP exchange with that endpoint; `connector` (TLS) and `egress` (allowed addresses) are its parts.
//! - `completion_request`, `completion_reader`, `completion`, `event_stream`: the formats of request and response.

mod build;
mod circuit_breaker;
mod completion;
mod completion_reader;
mod completion_request;
mod connector;
mod egress;
mod endpoint;
mod event_stream;
mod interface;
mod model;
mod script;

pub use build::{BuildError, build, max_descriptors};
pub use endpoint::EndpointError;
pub use interface::{Call, ChatMessage, Companion, Unavailable};
pub use script::ScriptError;
