//! The address of the client that sent a request: that of the connection, or behind a trusted proxy the one that the proxy
//! reports in `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use ipnet::IpNet;

use crate::http::Request;

/// Fields that only a proxy sends.
const PROXY_FIELDS: [&str; 3] = ["X-Forwarded-For", "Forwarded", "Via"];

/// Finds the address of a client.
pub(super) struct ClientAddress {
    trusted: Vec<IpNet>,
    warning: Once,
}

impl ClientAddress {
    pub(super) fn new(trusted: Vec<IpNet>) -> ClientAddress {
        ClientAddress { trusted, warning: Once::new() }
    }

    /// The address of the client that sent a request; `None` if a trusted proxy does not report it.
    pub(super) fn of(&self, request: &Request) -> Option<IpAddr> {
        let connection = request.remote_addr().ip();
        if self.is_trusted(connection) {
            let lines: Vec<&str> = lines(request, "X-Forwarded-For").collect();
            return self.reported(&lines);
        }
        if PROXY_FIELDS.iter().any(|field| lines(request, field).next().is_some()) {
            // Without an address, and once, since every client can send these fields.
            self.warning.call_once(|| {
                log::warn!(
                    "A request came through a proxy that TRUSTED_PROXIES does not name, so its clients cannot be told apart \
                     by their addresses. If the proxy is yours, name it there; any client can send such a field"
                );
            });
        }
        Some(connection)
    }

    /// The rightmost address that is not a trusted proxy's: each proxy appends the address that it was connected from, so
    /// what is left of that one may be an invention of the client. If all are trusted, the leftmost is the client's.
    fn reported(&self, lines: &[&str]) -> Option<IpAddr> {
        let mut client = None;
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // Of a proxy that hides the address, or writes what is none, nothing further to the left can be believed.
            let address = parse(hop)?;
            client = Some(address);
            if !self.is_trusted(address) {
                break;
            }
        }
        client
    }

    /// Whether an address is that of a trusted proxy.
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// The values of a field that may occur several times, in their order.
fn lines<'a>(request: &'a Request, field: &'a str) -> impl Iterator<Item = &'a str> {
    request.headers().filter(move |(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value)
}

/// An address as proxies write it: with or without a port, an IPv6 one with or without brackets.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches([' ', '\t', '"']);
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = hop.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip())).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(connection: &str, fields: &[(&str, &str)]) -> Option<String> {
        let trusted =
            ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/64"].map(|network| network.parse().expect("a network"));
        let connection = SocketAddr::new(connection.parse().expect("an address"), 4711);
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request::fake_http_from(connection, "GET", "/", fields, Vec::new());
        ClientAddress::new(trusted.to_vec()).of(&request).map(|address| address.to_string())
    }

    #[test]
    fn x_forwarded_for_counts_only_from_a_trusted_proxy_and_there_the_rightmost_untrusted_address() {
        for (connection, values, expected) in [
            // Not a trusted proxy: whatever it says, it is the client.
            ("203.0.113.9", &["198.51.100.1"][..], Some("203.0.113.9")),
            ("203.0.113.9", &["127.0.0.1"], Some("203.0.113.9")),
            ("192.168.0.1", &["198.51.100.1"], Some("192.168.0.1")),
            // A trusted proxy.
            ("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("::ffff:127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("2001:db8::7", &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.66, 198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.66,198.51.100.1,10.1.2.3"], Some("198.51.100.1")),
            // Several lines are one list.
            ("127.0.0.1", &["203.0.113.66", "198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.66, 198.51.100.1", "10.1.2.3 , 10.1.2.4"], Some("198.51.100.1")),
            // All are trusted: the client is inside.
            ("127.0.0.1", &["10.1.2.3, 10.9.9.9"], Some("10.1.2.3")),
            // Forms of an address.
            ("127.0.0.1", &["198.51.100.1:5123"], Some("198.51.100.1")),
            ("127.0.0.1", &["2001:db9::1"], Some("2001:db9::1")),
            ("127.0.0.1", &["[2001:db9::1]"], Some("2001:db9::1")),
            ("127.0.0.1", &["[2001:db9::1]:5123"], Some("2001:db9::1")),
            ("127.0.0.1", &["\"[2001:db9::1]:5123\""], Some("2001:db9::1")),
            ("127.0.0.1", &["::ffff:198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.66, ::ffff:10.1.2.3"], Some("203.0.113.66")),
            // What is no address ends the search, unless it is left of the client.
            ("127.0.0.1", &["unknown, 198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["198.51.100.1, unknown"], None),
            ("127.0.0.1", &["198.51.100.1, _hidden, 10.1.2.3"], None),
            ("127.0.0.1", &["198.51.100.1,"], None),
            ("127.0.0.1", &["999.1.1.1"], None),
            ("127.0.0.1", &[""], None),
            ("127.0.0.1", &[], None),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-FOR", *value)).collect();
            assert_eq!(client(connection, &fields).as_deref(), expected, "{connection} {values:?}");
        }
    }

    #[test]
    fn other_fields_of_proxies_are_not_used() {
        let fields = [("Forwarded", "for=198.51.100.1"), ("X-Real-IP", "198.51.100.1"), ("Via", "1.1 proxy")];
        assert_eq!(client("127.0.0.1", &fields), None);
        assert_eq!(client("203.0.113.9", &fields).as_deref(), Some("203.0.113.9"));
    }
}
