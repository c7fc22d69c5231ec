//! Opens connections to a model's server, with the certificate authorities to trust for TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::crypto::ring;
use ureq::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

use crate::config::Authorities;

/// `ureq`'s connector, which also records that a connection was established: the errors of `ureq` do not distinguish a
/// refused connection from one that the server closed.
#[derive(Debug)]
pub(super) struct RecordingConnector {
    /// Shared by all calls, so that the certificate authorities are parsed once.
    pub(super) inner: Arc<DefaultConnector>,
    pub(super) is_connected: Arc<AtomicBool>,
}

impl Connector for RecordingConnector {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let transport = self.inner.connect(details, chained)?;
        self.is_connected.store(true, Ordering::Relaxed);
        Ok(transport)
    }
}

/// TLS with rustls and ring; `None` without any trusted authority, where no certificate could be verified.
pub(super) fn tls_config(authorities: &Authorities) -> Option<TlsConfig> {
    let certificates = match authorities {
        Authorities::None => Vec::new(),
        Authorities::System => rustls_native_certs::load_native_certs().certs,
        Authorities::Given(certificates) => certificates.clone(),
    };
    let certificates: Vec<_> =
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if certificates.is_empty() {
        return None;
    }
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(certificates))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    Some(tls.build())
}
