//! Tells clients apart by their network or session, without keeping an address or an id, and counts what each of them has.
//!
//! - `keys`: a client as a keyed hash.
//! - `limit`: how many of something each client may have at a time.

mod keys;
mod limit;

pub use keys::{Distinct, PeerKey, Peers, is_local};
pub use limit::{PeerLimit, PeerPermit, TooMany};
