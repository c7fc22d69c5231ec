//! Tells clients apart by their network, or by their session, without keeping an address or an id: a keyed hash
//! (HMAC-SHA256) whose key is in memory only and changes every day.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use chacha20poly1305::Key;
use chacha20poly1305::aead::Generate;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use zeroize::Zeroizing;

/// How long a key of the hash is used.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of an IPv4 address that count (/24): a household's or a small company's addresses are in one.
pub const IPV4_PREFIX_BYTES: usize = 3;

/// Bytes of an IPv6 address that count (/56): providers give one to a customer (RFC 6177, section 2).
pub const IPV6_PREFIX_BYTES: usize = 7;

// What is hashed, in the first byte: equal bytes of another kind have another hash.
const IPV4_DOMAIN: u8 = 4;
const IPV6_DOMAIN: u8 = 6;
const SESSION_DOMAIN: u8 = b's';

/// The opaque key of a client: its network, or where that does not tell it apart, its session. It is a hash that does not
/// lead back to the address or the session, and means nothing in another process or on another day. It has no `Display` and
/// a redacted `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey {
    hash: u64,
    is_session: bool,
}

impl PeerKey {
    /// Whether it is the key of a session.
    #[must_use]
    pub fn is_session(self) -> bool {
        self.is_session
    }
}

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

/// Hashes what tells clients apart.
pub struct Peers {
    distinct: Distinct,
    keyed: Mutex<KeyedHash>,
}

/// The hash under its key. Its state is overwritten when it is dropped (the feature `zeroize` of sha2).
struct KeyedHash {
    hmac: Hmac<Sha256>,
    made_at: Instant,
}

impl Peers {
    /// Peers under a fresh random key.
    #[must_use]
    pub fn new(distinct: Distinct) -> Peers {
        Peers { distinct, keyed: Mutex::new(KeyedHash::new(Instant::now())) }
    }

    /// Which addresses tell clients apart.
    #[must_use]
    pub fn distinct(&self) -> Distinct {
        self.distinct
    }

    /// The key of a client's network; `None` where its address does not tell it apart from others.
    #[must_use]
    pub fn key(&self, address: IpAddr) -> Option<PeerKey> {
        self.key_at(address, Instant::now())
    }

    /// The key of the session with this lookup.
    #[must_use]
    pub fn session_key(&self, session: &[u8; 16]) -> PeerKey {
        self.hash(SESSION_DOMAIN, session, Instant::now())
    }

    fn key_at(&self, address: IpAddr, now: Instant) -> Option<PeerKey> {
        // A dual-stack listener reports IPv4 clients as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        match self.distinct {
            Distinct::None => return None,
            Distinct::Public if is_local(address) => return None,
            Distinct::Public | Distinct::All => {}
        }
        Some(match address {
            IpAddr::V4(ip) => self.hash(IPV4_DOMAIN, &ip.octets()[..IPV4_PREFIX_BYTES], now),
            IpAddr::V6(ip) => self.hash(IPV6_DOMAIN, &ip.octets()[..IPV6_PREFIX_BYTES], now),
        })
    }

    /// The first eight bytes of the HMAC of the domain and the bytes.
    fn hash(&self, domain: u8, bytes: &[u8], now: Instant) -> PeerKey {
        let hmac = {
            let mut keyed = self.keyed.lock();
            if now.saturating_duration_since(keyed.made_at) >= KEY_LIFETIME {
                *keyed = KeyedHash::new(now);
            }
            keyed.hmac.clone()
        };
        let hash = hmac.chain_update([domain]).chain_update(bytes).finalize().into_bytes();
        let hash = hash.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        PeerKey { hash, is_session: domain == SESSION_DOMAIN }
    }
}

impl KeyedHash {
    /// Each key is random by itself: those of two days have nothing in common.
    fn new(now: Instant) -> KeyedHash {
        let key = Zeroizing::new(<[u8; 32]>::from(Key::generate()));
        KeyedHash { hmac: Hmac::new_from_slice(&*key).expect("HMAC takes keys of any length"), made_at: now }
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
    use std::collections::HashSet;

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

    #[test]
    fn equal_bytes_of_a_network_and_of_a_session_have_different_keys() {
        let (peers, now) = (Peers::new(Distinct::All), Instant::now());
        let domains = [IPV4_DOMAIN, IPV6_DOMAIN, SESSION_DOMAIN];
        let keys: HashSet<_> = domains.iter().map(|domain| peers.hash(*domain, &[7; 16], now).hash).collect();
        assert_eq!(keys.len(), domains.len());
        assert!(peers.hash(SESSION_DOMAIN, &[7; 16], now).is_session());
        assert!(!peers.hash(IPV4_DOMAIN, &[7; 16], now).is_session());
    }

    #[test]
    fn each_session_has_a_key_of_its_own() {
        let peers = Peers::new(Distinct::None);
        assert_eq!(peers.session_key(&[1; 16]), peers.session_key(&[1; 16]));
        assert_ne!(peers.session_key(&[1; 16]), peers.session_key(&[2; 16]));
    }
}
