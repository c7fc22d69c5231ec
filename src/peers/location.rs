//! Where an address is, seen from this machine.

use std::net::IpAddr;

use super::keys::is_local;

/// Where an address is, seen from this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// A loopback address.
    ThisMachine,
    /// Any other address that is not on the public Internet, as [`is_local`] has them.
    PrivateNetwork,
    /// Any other address.
    Public,
}

impl Location {
    /// Where this address is. The unspecified one, which listens on all, counts as public.
    #[must_use]
    pub fn of(address: IpAddr) -> Location {
        // An IPv4-mapped address such as ::ffff:127.0.0.1 reaches 127.0.0.1.
        match address.to_canonical() {
            address if address.is_loopback() => Location::ThisMachine,
            address if is_local(address) => Location::PrivateNetwork,
            _ => Location::Public,
        }
    }
}
