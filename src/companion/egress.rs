//! Limits the addresses of a model's server to the local networks (`COMPANION_EGRESS=local`).

use std::net::{SocketAddr, ToSocketAddrs};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::config::is_local;

/// Resolves names as the system does and, with `local_only`, drops public addresses. It does so for every connection,
/// because the addresses of a name can change after the start, by accident or by DNS rebinding.
#[derive(Debug, Default)]
pub(super) struct EgressResolver {
    pub(super) local_only: bool,
    pub(super) system: DefaultResolver,
}

impl Resolver for EgressResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.system.resolve(uri, config, timeout)?;
        if !self.local_only {
            return Ok(addresses);
        }
        let mut local = self.empty();
        for address in addresses.iter().filter(|address| is_local(address.ip())) {
            local.push(*address);
        }
        if local.is_empty() { Err(Error::HostNotFound) } else { Ok(local) }
    }
}

/// Whether a name has addresses and all of them are public. A name that does not resolve has none; it is resolved again
/// for every connection. Blocks as long as the system's resolver does.
pub(super) fn has_only_public_addresses(host: &str, port: u16) -> bool {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_or_else(|_| Vec::new(), Iterator::collect);
    !addresses.is_empty() && !addresses.iter().any(|address| is_local(address.ip()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn with_local_egress_only_loopback_and_private_addresses_resolve() {
        for (host, is_local) in [
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("10.0.0.1", true),
            ("172.16.0.1", true),
            ("172.31.255.255", true),
            ("192.168.1.1", true),
            ("169.254.0.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("[::1]", true),
            ("[fc00::1]", true),
            ("[fdff::1]", true),
            ("[fe80::1]", true),
            ("[febf::1]", true),
            ("[::ffff:10.0.0.1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("8.8.8.8", false),
            ("0.0.0.0", false),
            ("172.15.0.1", false),
            ("172.32.0.1", false),
            ("192.169.0.1", false),
            ("100.63.255.255", false),
            ("100.128.0.1", false),
            ("169.253.0.1", false),
            ("11.0.0.1", false),
            ("224.0.0.1", false),
            ("[::]", false),
            ("[2001:4860:4860::8888]", false),
            ("[fec0::1]", false),
            ("[ff02::1]", false),
            ("[::ffff:8.8.8.8]", false),
            ("[64:ff9b::a00:1]", false),
        ] {
            let uri = format!("http://{host}:1/").parse().unwrap();
            let resolves = |local_only| {
                let resolver = EgressResolver { local_only, ..EgressResolver::default() };
                resolver.resolve(&uri, &Config::default(), NextTimeout::default()).is_ok()
            };
            assert_eq!((resolves(true), resolves(false)), (is_local, true), "{host}");
        }
    }
}
