//! How connections to a model's server are opened: to which addresses (`COMPANION_EGRESS`), and whom TLS trusts.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::crypto::ring;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

use crate::config::Authorities;
use crate::peers::{Location, is_local};

/// `ureq`'s connector, for one call: its connection can be observed.
#[derive(Debug)]
pub(super) struct ObservedConnector {
    /// Shared by all calls, so that the certificate authorities are parsed once.
    pub(super) inner: Arc<DefaultConnector>,
    pub(super) connection: Arc<Connection>,
}

/// What is known of the connection of a call, and bounds it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    is_established: AtomicBool,
    /// When reading ends, where that is before the deadline of the call.
    read_deadline: Mutex<Option<Instant>>,
}

impl Connection {
    /// Whether it was established: the errors of `ureq` do not distinguish a refused connection from one that the server
    /// closed.
    pub(super) fn is_established(&self) -> bool {
        self.is_established.load(Ordering::Relaxed)
    }

    /// Lets the call read for this much longer at most.
    pub(super) fn end_reading_after(&self, limit: Duration) {
        *self.read_deadline.lock() = Some(Instant::now() + limit);
    }
}

impl Connector for ObservedConnector {
    type Out = ObservedTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let transport = self.inner.connect(details, chained)?;
        self.connection.is_established.store(true, Ordering::Relaxed);
        Ok(transport.map(|inner| ObservedTransport { inner, connection: self.connection.clone() }))
    }
}

/// `ureq`'s transport with the deadline of a [`Connection`].
#[derive(Debug)]
pub(super) struct ObservedTransport {
    inner: Box<dyn Transport>,
    connection: Arc<Connection>,
}

impl Transport for ObservedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let called_at = Instant::now();
        let read_deadline = *self.connection.read_deadline.lock();
        let limit = read_deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(called_at));
        let limit = limit.min(*timeout.after);
        let mut left = limit;
        loop {
            if left.is_zero() {
                return Err(Error::Timeout(timeout.reason));
            }
            let wait = socket_timeout(left);
            match self.inner.await_input(NextTimeout { after: wait.into(), ..timeout }) {
                Err(Error::Timeout(_)) if wait < left => left = limit.saturating_sub(called_at.elapsed()),
                result => return result,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// How long to read before looking at the time again. `ureq` sets the timeout of the socket whenever it differs from that of
/// the read before: in whole seconds, that is a system call once in a second, and not for each piece of an answer.
fn socket_timeout(left: Duration) -> Duration {
    if left > Duration::from_secs(1) { Duration::from_secs(left.as_secs()) } else { left }
}

/// TLS with rustls and ring; `None` without any trusted authority, where no certificate could be verified.
#[must_use]
pub fn tls_config(authorities: &Authorities) -> Option<TlsConfig> {
    let certificates = match authorities {
        Authorities::None => Vec::new(),
        Authorities::System => rustls_native_certs::load_native_certs().certs,
        Authorities::Given(certificates) => certificates.clone(),
    };
    let certificates: Vec<_> = certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    (!certificates.is_empty()).then(|| {
        let tls = TlsConfig::builder().root_certs(RootCerts::from(certificates));
        tls.unversioned_rustls_crypto_provider(Arc::new(ring::default_provider())).build()
    })
}

/// Resolves names as the system does and, with `local_only`, drops public addresses. It does so for every connection,
/// because the addresses of a name can change after the start, by accident or by DNS rebinding.
#[derive(Debug, Default)]
pub(super) struct EgressResolver {
    pub(super) local_only: bool,
    pub(super) system: DefaultResolver,
}

impl Resolver for EgressResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut allowed = self.empty();
        let addresses = self.system.resolve(uri, config, timeout)?;
        for address in addresses.iter().filter(|address| !self.local_only || is_local(address.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Where a host is, as far as that is certain before a connection: with `local_only`, [`EgressResolver`] keeps a name from leading to
/// a public address, and otherwise it may lead anywhere.
pub(super) fn location(host: &str, local_only: bool) -> Location {
    match host.parse() {
        Ok(address) => Location::of(address),
        // RFC 6761, section 6.3.
        Err(_) if host.eq_ignore_ascii_case("localhost") => Location::ThisMachine,
        Err(_) if local_only => Location::PrivateNetwork,
        Err(_) => Location::Public,
    }
}

/// Whether a name has addresses and all of them are public. A name that does not resolve has none; it is resolved again
/// for every connection. Blocks as long as the system's resolver does.
pub(super) fn has_only_public_addresses(host: &str, port: u16) -> bool {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().into_iter().flatten().collect();
    !addresses.is_empty() && !addresses.iter().any(|address| is_local(address.ip()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn with_local_egress_only_loopback_and_private_addresses_resolve() {
        let local = "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.0.1 100.64.0.1 \
            100.127.255.255 [::1] [fc00::1] [fdff::1] [fe80::1] [febf::1] [::ffff:10.0.0.1] [::ffff:127.0.0.1]";
        let public = "8.8.8.8 0.0.0.0 172.15.0.1 172.32.0.1 192.169.0.1 100.63.255.255 100.128.0.1 169.253.0.1 11.0.0.1 \
            224.0.0.1 [::] [2001:4860:4860::8888] [fec0::1] [ff02::1] [::ffff:8.8.8.8] [64:ff9b::a00:1]";
        let cases = local.split(' ').map(|host| (host, true)).chain(public.split(' ').map(|host| (host, false)));
        for (host, is_local) in cases {
            let uri = format!("http://{host}:1/").parse().unwrap();
            let resolves = |local_only| {
                let resolver = EgressResolver { local_only, ..EgressResolver::default() };
                resolver.resolve(&uri, &Config::default(), NextTimeout::default()).is_ok()
            };
            assert_eq!((resolves(true), resolves(false)), (is_local, true), "{host}");
        }
    }

    #[test]
    fn a_name_is_where_egress_keeps_it_and_an_address_where_it_is() {
        use Location::{PrivateNetwork, Public, ThisMachine};
        for (host, any, local) in [
            ("localhost", ThisMachine, ThisMachine),
            ("LocalHost", ThisMachine, ThisMachine),
            ("127.0.0.1", ThisMachine, ThisMachine),
            ("::1", ThisMachine, ThisMachine),
            ("::ffff:127.0.0.1", ThisMachine, ThisMachine),
            ("10.0.0.1", PrivateNetwork, PrivateNetwork),
            ("fd00::1", PrivateNetwork, PrivateNetwork),
            ("8.8.8.8", Public, Public),
            ("model", Public, PrivateNetwork),
            ("localhost.example", Public, PrivateNetwork),
        ] {
            assert_eq!((location(host, false), location(host, true)), (any, local), "{host}");
        }
    }
}
