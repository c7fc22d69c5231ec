//! The connection to a model's server: whom to trust, and whether it was reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::crypto::ring;
use ureq::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

use crate::config::Authorities;

/// Opens connections as `ureq` does, and notes that one was opened: its errors do not tell a server that was not reached
/// from one that hung up. What is underneath is shared by all calls, so that the authorities are read once.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) inner: Arc<DefaultConnector>,
    pub(super) reached: Arc<AtomicBool>,
}

impl Connector for Connect {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let transport = self.inner.connect(details, chained)?;
        self.reached.store(true, Ordering::Relaxed);
        Ok(transport)
    }
}

/// TLS with rustls and ring; `None` where there is no authority to trust, so that no certificate could be believed.
pub(super) fn tls(authorities: &Authorities) -> Option<TlsConfig> {
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
