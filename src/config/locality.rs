//! Which addresses belong to this machine or its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether packets to an address stay on this machine or in networks that are not the public Internet: loopback,
/// RFC 1918, link-local, the shared space of carriers (100.64.0.0/10), and IPv6's unique-local addresses.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    // ::ffff:10.0.0.1 goes where 10.0.0.1 goes.
    match address.to_canonical() {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => is_local_v6(address),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

/// Whether a host is an address as above, or a name that only such networks give. Nothing depends on it but a warning:
/// where a name really leads is known when it is asked for.
pub(super) fn looks_local(host: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".localhost", ".local", ".internal", ".lan", ".home.arpa"];
    match host.parse::<IpAddr>() {
        Ok(address) => is_local(address),
        // A name without a dot, as containers have them, is no name of the Internet.
        Err(_) => !host.contains('.') || SUFFIXES.iter().any(|suffix| host.to_ascii_lowercase().ends_with(suffix)),
    }
}
