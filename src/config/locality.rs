//! Which addresses belong to this machine or to private networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is not on the public Internet: loopback, private (RFC 1918), link-local (RFC 3927, RFC 4291), shared
/// (100.64.0.0/10, RFC 6598), or IPv6 unique-local (RFC 4193).
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    // An IPv4-mapped address such as ::ffff:10.0.0.1 reaches 10.0.0.1.
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

/// Whether a host is a local address, or a name that only private networks resolve. For a warning only: the addresses of a
/// name are known when it is resolved.
pub(super) fn looks_local(host: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".localhost", ".local", ".internal", ".lan", ".home.arpa"];
    match host.parse::<IpAddr>() {
        Ok(address) => is_local(address),
        // A name without a dot, such as a container's, is not on the public Internet.
        Err(_) => !host.contains('.') || SUFFIXES.iter().any(|suffix| host.to_ascii_lowercase().ends_with(suffix)),
    }
}
