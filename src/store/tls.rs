//! TLS to PostgreSQL with rustls, and libpq's weaker modes as certificate verifiers.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Authorities, SslMode};

/// A TLS connector that verifies the server's certificate as `mode` requires.
///
/// # Errors
/// When an authority's certificate cannot be used.
pub(super) fn connector(mode: SslMode, authorities: &Authorities) -> Result<MakeRustlsConnect, rustls::Error> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Authorities::None => {}
        Authorities::System => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        Authorities::Given(certificates) => certificates.iter().try_for_each(|known| roots.add(known.clone()))?,
    }
    let provider = Arc::new(ring::default_provider());
    let checked = mode >= SslMode::VerifyCa || (mode == SslMode::Require && !roots.is_empty());
    let build = || WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let chain = checked.then(build).transpose().map_err(|error| rustls::Error::General(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match chain {
        Some(full) if mode == SslMode::VerifyFull => full,
        chain => Arc::new(LenientVerifier { chain, algorithms: provider.signature_verification_algorithms }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Verifies less of the certificate than rustls does. The handshake still proves that the server holds the key of its
/// certificate.
///
/// - `prefer` and `require` have no `chain`: any certificate is accepted, and the peer is not authenticated.
/// - `verify-ca` has one: the certificate must chain to an authority and may be for any host. rustls compares the name last,
///   so an error about the name means that every other check passed.
#[derive(Debug)]
struct LenientVerifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for LenientVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
