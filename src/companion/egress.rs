//! Where a model may be reached: anywhere, or on this machine and in private networks only.

use std::net::{SocketAddr, ToSocketAddrs};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::config::is_local;

/// Looks names up as the system does and, where only local addresses are allowed, passes over all others each time: what
/// a name means may change after the start, by an accident or by somebody's intention.
#[derive(Debug)]
pub struct Egress {
    local_only: bool,
    system: DefaultResolver,
}

impl Egress {
    /// With `local_only`, addresses of the public Internet do not exist.
    #[must_use]
    pub fn new(local_only: bool) -> Egress {
        Egress { local_only, system: DefaultResolver::default() }
    }
}

impl Resolver for Egress {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.system.resolve(uri, config, timeout)?;
        if !self.local_only {
            return Ok(found);
        }
        let mut kept = self.empty();
        for address in found.iter().filter(|address| is_local(address.ip())) {
            kept.push(*address);
        }
        if kept.is_empty() { Err(Error::HostNotFound) } else { Ok(kept) }
    }
}

/// Whether a name leads to public addresses and to nothing else. One that cannot be looked up now is not known to, and
/// is looked up again for every call. It waits as long as the system's resolver does.
pub(super) fn leads_outside(host: &str, port: u16) -> bool {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_or_else(|_| Vec::new(), Iterator::collect);
    !found.is_empty() && !found.iter().any(|address| is_local(address.ip()))
}
