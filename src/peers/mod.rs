//! Tells clients apart by their network or session, without keeping an address or an id, and counts what each of them has.
//!
//! - `keys`: a client as a keyed hash.
//! - `limit`: how many of something each client may have at a time.
//! - `location`: whether an address is this machine's, private or public.

mod keys;
mod limit;
mod location;

pub use keys::{Distinct, IPV4_PREFIX_BYTES, IPV6_PREFIX_BYTES, KEY_LIFETIME, PeerKey, Peers, is_local};
pub use limit::{PeerLimit, PeerPermit, TooMany};
pub use location::Location;
