//! Where the data lives: one URL, five variables, or a private PostgreSQL where none of them is set.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use postgres::config::Host;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Environment;
use super::reader::{Reader, pick, words};

/// Where the data lives.
#[derive(Debug)]
pub enum Database {
    /// A PostgreSQL the service starts and stops itself.
    Private(PrivateServer),
    /// A PostgreSQL that somebody else administers.
    Server(Box<Server>),
}

/// A PostgreSQL of the service's own (`SAFESPACE_DATA_DIR`, `PG_BIN`).
#[derive(Debug, Clone)]
pub struct PrivateServer {
    /// The folder that holds all of it.
    pub data_folder: PathBuf,
    /// Where `initdb` and `postgres` are, if the operator says so.
    pub binaries: Option<PathBuf>,
}

/// How to reach a PostgreSQL (`DATABASE_URL` or `DB_*`).
#[derive(Debug, Clone)]
pub struct Server {
    /// Hosts, database, user and password. Its `Debug` hides the password.
    pub connect: postgres::Config,
    /// How much TLS is asked for.
    pub ssl_mode: SslMode,
    /// Whom to trust for a server's certificate.
    pub authorities: Authorities,
}

/// How much TLS is asked for, with libpq's meaning (PostgreSQL manual, section 34.19.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it; its certificate is not looked at.
    Prefer,
    /// TLS or nothing. The certificate is checked only if authorities are given.
    Require,
    /// TLS, and the certificate leads to an authority; the host name is not compared.
    VerifyCa,
    /// TLS, the certificate leads to an authority and is for this host.
    VerifyFull,
}

const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// Whom to trust for a server's certificate (`DB_SSLROOTCERT`).
#[derive(Debug, Clone)]
pub enum Authorities {
    /// Nobody was named.
    None,
    /// Those the operating system trusts.
    System,
    /// Those of a PEM file.
    Given(Vec<CertificateDer<'static>>),
}

impl Server {
    /// Whether all its hosts are this machine, where there is no network to protect.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        let is_loopback = |name: &String| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        // `hostaddr` is where the driver really goes.
        self.connect.get_hostaddrs().iter().all(IpAddr::is_loopback)
            && self.connect.get_hosts().iter().all(|host| match host {
                Host::Unix(_) => true,
                Host::Tcp(name) => is_loopback(name),
            })
    }
}

impl fmt::Display for Server {
    /// The database's place, without its password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.connect.get_user().unwrap_or("(the system's user)");
        write!(formatter, "{} as {user} at ", self.connect.get_dbname().unwrap_or(user))?;
        for (number, host) in self.connect.get_hosts().iter().enumerate() {
            // One port holds for all hosts, or there is one for each.
            let ports = self.connect.get_ports();
            let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
            let separator = if number == 0 { "" } else { ", " };
            match host {
                Host::Tcp(name) => write!(formatter, "{separator}{name}:{port}")?,
                Host::Unix(folder) => write!(formatter, "{separator}{}", folder.display())?,
            }
        }
        Ok(())
    }
}

/// The five variables that describe one server, as the first version had them.
const PARTS: [&str; 5] = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];

pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Database {
    let parts: Vec<&str> = PARTS.into_iter().filter(|name| reader.is_given(name)).collect();
    if reader.is_given("DATABASE_URL") {
        if !parts.is_empty() {
            reader
                .problem("DATABASE_URL", format_args!("{} set too; keep the URL or the DB_* variables", list(&parts)));
        }
        // One that could not be read is a problem already.
        let url = reader.set("DATABASE_URL").unwrap_or_else(|| "postgres://unread".to_owned());
        let (connect, tls) = read_url(reader, &url);
        Database::Server(Box::new(read_tls(reader, connect, tls)))
    } else if parts.is_empty() {
        Database::Private(read_private(reader, environment))
    } else {
        let connect = read_parts(reader);
        Database::Server(Box::new(read_tls(reader, connect, UrlTls::default())))
    }
}

fn list(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn read_private(reader: &mut Reader<'_>, environment: Environment) -> PrivateServer {
    if environment == Environment::Production {
        reader.problem("DATABASE_URL", "required in production, or DB_HOST, DB_NAME, DB_USER and DB_PASSWORD; a private PostgreSQL is for development");
    }
    for name in ["DB_SSLMODE", "DB_SSLROOTCERT"] {
        if reader.set(name).is_some() {
            reader.problem(
                name,
                "set without DATABASE_URL or DB_HOST; the private PostgreSQL is reached without a network",
            );
        }
    }
    let data_folder = match reader.set("SAFESPACE_DATA_DIR") {
        Some(folder) => PathBuf::from(folder),
        None if nix::unistd::geteuid().is_root() => PathBuf::from("/var/lib/safespace"),
        None => match (reader.foreign("XDG_DATA_HOME"), reader.foreign("HOME")) {
            (Some(data), _) => PathBuf::from(data).join("safespace"),
            (None, Some(home)) => PathBuf::from(home).join(".local/share/safespace"),
            (None, None) => {
                reader.problem("SAFESPACE_DATA_DIR", "required where HOME and XDG_DATA_HOME are not set");
                PathBuf::new()
            }
        },
    };
    PrivateServer {
        // PostgreSQL is started in a working folder of its own, so a relative path would mean another place there.
        data_folder: std::path::absolute(&data_folder).unwrap_or(data_folder),
        binaries: reader.set("PG_BIN").map(PathBuf::from),
    }
}

fn read_parts(reader: &mut Reader<'_>) -> postgres::Config {
    let mut connect = postgres::Config::new();
    connect
        .host(&reader.text("DB_HOST"))
        .port(reader.number("DB_PORT", 1..=u16::MAX))
        .dbname(&reader.text("DB_NAME"))
        .user(&reader.text("DB_USER"));
    match reader.set("DB_PASSWORD") {
        Some(password) => {
            connect.password(password);
        }
        None if reader.is_given("DB_PASSWORD") => {}
        None => reader.problem("DB_PASSWORD", "required as soon as one of DB_HOST, DB_PORT, DB_NAME, DB_USER is set"),
    }
    connect
}

/// What a URL says of TLS. `postgres` knows three of libpq's modes and no authorities, so these are taken out first.
#[derive(Default)]
struct UrlTls {
    ssl_mode: Option<String>,
    authorities: Option<String>,
}

fn read_url(reader: &mut Reader<'_>, url: &str) -> (postgres::Config, UrlTls) {
    let mut tls = UrlTls::default();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = || Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        match name {
            "sslmode" => tls.ssl_mode = value(),
            "sslrootcert" => tls.authorities = value(),
            _ => kept.push(pair),
        }
    }
    let connect = parse_address(address).and_then(|_| parse_address(&format!("{address}?{}", kept.join("&"))));
    if connect.as_ref().is_some_and(|connect| connect.get_hosts().is_empty()) {
        reader.problem("DATABASE_URL", "it names no host");
    }
    // The parser's own error may quote a piece of a password that has a ? or an @ in it.
    let connect = connect.unwrap_or_else(|| {
        let problem = match parse_address(address) {
            Some(_) => "it has a parameter, after the ?, that is not known",
            None => {
                "not a URL of the form postgres://user:password@host:port/name; \
                 write special characters in a password as %XX"
            }
        };
        reader.problem("DATABASE_URL", problem);
        postgres::Config::new()
    });
    (connect, tls)
}

fn parse_address(url: &str) -> Option<postgres::Config> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    // With a second @, a password that was not encoded would be taken for the host, and printed as one.
    let is_clear = url.split('?').next().is_some_and(|address| address.matches('@').count() < 2);
    url.parse().ok().filter(|_| is_url && is_clear)
}

fn read_tls(reader: &mut Reader<'_>, connect: postgres::Config, url: UrlTls) -> Server {
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
    Server { connect, ssl_mode, authorities }
}

fn read_authorities(reader: &mut Reader<'_>, path: &str, ssl_mode: SslMode) -> Authorities {
    if path == "system" {
        // As in libpq: anybody can get a certificate from a public authority, so only one for this host says anything.
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
