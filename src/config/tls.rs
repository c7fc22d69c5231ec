//! TLS to PostgreSQL: the mode and the authorities.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::reader::{Reader, pick, words};

/// How much TLS to PostgreSQL is required, with libpq's meaning (PostgreSQL manual, section 34.19, "SSL Support").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Plain text only.
    Disable,
    /// TLS if the server supports it; the certificate is not verified.
    Prefer,
    /// TLS. The certificate is verified only if authorities are given.
    Require,
    /// TLS, and the certificate chains to an authority; the host name is not compared.
    VerifyCa,
    /// TLS, and the certificate chains to an authority and is for this host.
    VerifyFull,
}

const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// The authorities to trust for a server's certificate (`DB_SSLROOTCERT`).
#[derive(Debug, Clone)]
pub enum Authorities {
    /// No authority.
    None,
    /// Those that the operating system trusts.
    System,
    /// Those of a PEM file.
    Given(Vec<CertificateDer<'static>>),
}

/// The TLS parameters of a URL. The crate `postgres` parses three of libpq's modes and no authorities, so they are taken out
/// before it parses the URL.
#[derive(Default)]
pub(super) struct UrlTls {
    pub(super) ssl_mode: Option<String>,
    pub(super) authorities: Option<String>,
}

/// The mode and the authorities, from the parameters of the URL or from `DB_SSL*`.
pub(super) fn read(reader: &mut Reader<'_>, url: UrlTls) -> (SslMode, Authorities) {
    let ssl_mode = match url.ssl_mode {
        Some(mode) => {
            if reader.set("DB_SSLMODE").is_some() {
                reader.problem("DB_SSLMODE", "DATABASE_URL has a sslmode too; keep one of them");
            }
            pick(&mode, &SSL_MODES).unwrap_or_else(|| {
                let problem = format!("its sslmode is not one of {}", words(&SSL_MODES));
                reader.problem("DATABASE_URL", problem);
                SslMode::Prefer
            })
        }
        None => reader.choice("DB_SSLMODE", &SSL_MODES),
    };
    if url.authorities.is_some() && reader.set("DB_SSLROOTCERT").is_some() {
        reader.problem("DB_SSLROOTCERT", "DATABASE_URL has a sslrootcert too; keep one of them");
    }
    let authorities = match url.authorities.or_else(|| reader.set("DB_SSLROOTCERT")) {
        Some(path) => read_authorities(reader, &path, ssl_mode),
        None => {
            if ssl_mode >= SslMode::VerifyCa {
                reader.problem(
                    "DB_SSLROOTCERT",
                    "required with verify-ca and verify-full: a PEM file, or 'system' with verify-full",
                );
            }
            Authorities::None
        }
    };
    (ssl_mode, authorities)
}

fn read_authorities(reader: &mut Reader<'_>, path: &str, ssl_mode: SslMode) -> Authorities {
    if path == "system" {
        // As in libpq: public authorities issue certificates to anyone, so only the host name identifies the server.
        if ssl_mode != SslMode::VerifyFull {
            reader.problem("DB_SSLROOTCERT", "'system' needs DB_SSLMODE=verify-full");
        }
        return Authorities::System;
    }
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Authorities::Given(certificates),
        Ok(_) => {
            reader.problem("DB_SSLROOTCERT", format_args!("{path} holds no certificate in PEM form"));
            Authorities::None
        }
        Err(error) => {
            reader.problem("DB_SSLROOTCERT", format_args!("cannot read {path}: {error}"));
            Authorities::None
        }
    }
}
