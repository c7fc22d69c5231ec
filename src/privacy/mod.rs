//! What the service promises of privacy, as data and in sentences. Both are computed from the parts that are in use, so that no
//! setting makes them untrue.
//!
//! - `promise`: the data.
//! - `stored`: every column of the database, and what it holds.
//! - `disclosure`: computes the data from the parts.
//! - `sentences`: the same in words, for people.

mod disclosure;
mod promise;
mod sentences;
mod stored;

pub use disclosure::{Disclosure, ReplacedTexts};
pub use promise::{LoggedRequests, Promise};
pub use sentences::{Sentence, sentences};
