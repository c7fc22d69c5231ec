//! Tells clients apart by their network, without keeping an address: a keyed hash whose key is in memory only and changes
//! every day.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a key of the hash is used.
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Bits of an IPv4 address that count: a household's or a small company's addresses are in one /24.
const IPV4_PREFIX_BITS: u32 = 24;

/// Bits of an IPv6 address that count: providers give a customer a /56 (RFC 6177, section 2).
const IPV6_PREFIX_BITS: u32 = 56;

/// The network of a client: a hash that does not lead back to the address, and means nothing in another process or on
/// another day. It has no `Display` and a redacted `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(u64);

impl fmt::Debug for PeerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PeerKey(<redacted>)")
    }
}

/// Which addresses tell clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distinct {
    /// None.
    None,
    /// Public ones: many people may share a loopback or a private one, such as that of a Tor service or of a proxy.
    Public,
    /// All.
    All,
}

/// Hashes the networks of clients.
pub struct Peers {
    distinct: Distinct,
    hash: Mutex<(RandomState, Instant)>,
}

impl Peers {
    /// Peers under a fresh random key.
    #[must_use]
    pub fn new(distinct: Distinct) -> Peers {
        Peers { distinct, hash: Mutex::new((RandomState::new(), Instant::now())) }
    }

    /// The key of a client's network; `None` where its address does not tell it apart from others.
    #[must_use]
    pub fn key(&self, address: IpAddr) -> Option<PeerKey> {
        self.key_at(address, Instant::now())
    }

    fn key_at(&self, address: IpAddr, now: Instant) -> Option<PeerKey> {
        // A dual-stack listener reports IPv4 clients as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        match self.distinct {
            Distinct::None => return None,
            Distinct::Public if is_local(address) => return None,
            Distinct::Public | Distinct::All => {}
        }
        let network = match address {
            IpAddr::V4(ip) => u128::from(ip.to_bits() >> (Ipv4Addr::BITS - IPV4_PREFIX_BITS)),
            IpAddr::V6(ip) => ip.to_bits() >> (128 - IPV6_PREFIX_BITS),
        };
        let mut hash = self.hash.lock();
        if now.saturating_duration_since(hash.1) >= KEY_LIFETIME {
            *hash = (RandomState::new(), now);
        }
        Some(PeerKey(hash.0.hash_one((address.is_ipv4(), network))))
    }
}

/// Whether an address is not on the public Internet: loopback, private (RFC 1918), link-local (RFC 3927, RFC 4291), shared
/// (100.64.0.0/10, RFC 6598), or IPv6 unique-local (RFC 4193).
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    let is_shared = |ip: Ipv4Addr| ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
    // An IPv4-mapped address such as ::ffff:10.0.0.1 reaches 10.0.0.1.
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared(ip),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn key(peers: &Peers, address: &str) -> Option<PeerKey> {
        peers.key(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_network_have_one_key_and_those_of_others_another() {
        let peers = Peers::new(Distinct::All);
        let same = [
            ("203.0.113.1", "203.0.113.254"),
            ("203.0.113.1", "::ffff:203.0.113.9"),
            ("2001:db8:1:100::1", "2001:db8:1:1ff:ffff::2"),
        ];
        let different =
            [("203.0.113.1", "203.0.114.1"), ("2001:db8:1:100::1", "2001:db8:1:200::1"), ("0.0.1.1", "::1:0:0:0:0")];
        for (one, other) in same {
            assert_eq!(key(&peers, one), key(&peers, other), "{one} and {other}");
        }
        for (one, other) in different {
            assert_ne!(key(&peers, one), key(&peers, other), "{one} and {other}");
        }
    }

    #[test]
    fn shared_addresses_have_a_key_only_where_all_addresses_are_distinct() {
        let shared = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"];
        for (distinct, of_shared, of_public) in
            [(Distinct::None, false, false), (Distinct::Public, false, true), (Distinct::All, true, true)]
        {
            let peers = Peers::new(distinct);
            for address in shared {
                assert_eq!(key(&peers, address).is_some(), of_shared, "{address} {distinct:?}");
            }
            for address in ["203.0.113.1", "2001:db8::1"] {
                assert_eq!(key(&peers, address).is_some(), of_public, "{address} {distinct:?}");
            }
        }
    }

    #[test]
    fn the_key_changes_after_a_day_and_differs_between_processes() {
        let (peers, now, address) = (Peers::new(Distinct::All), Instant::now(), "203.0.113.1".parse().unwrap());
        let first = peers.key_at(address, now);
        assert_eq!(peers.key_at(address, now + KEY_LIFETIME / 2), first);
        assert_ne!(peers.key_at(address, now + KEY_LIFETIME), first);
        assert_ne!(Peers::new(Distinct::All).key_at(address, now), Peers::new(Distinct::All).key_at(address, now));
    }
}
