//! Which PostgreSQL stores the data: that of a URL, that of five variables, or a private one if none of them is set; and how
//! much TLS is required.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use postgres::config::Host;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::reader::{Reader, pick, words};
use super::settings::Environment;
use super::{connection_parameters, connection_url, host};

/// Which PostgreSQL stores the data.
#[derive(Debug)]
pub enum Database {
    /// One that the service starts and stops itself.
    Private(PrivateServer),
    /// One that is administered elsewhere.
    Server(Box<Server>),
}

/// The private PostgreSQL (`SAFESPACE_DATA_DIR`, `PG_BIN`).
#[derive(Debug, Clone)]
pub struct PrivateServer {
    /// The folder of its data, as an absolute path.
    pub data_folder: PathBuf,
    /// The folder of `initdb` and `postgres`; `None` to search for it.
    pub binaries: Option<PathBuf>,
}

/// How to reach a PostgreSQL (`DATABASE_URL` or `DB_*`).
#[derive(Debug, Clone)]
pub struct Server {
    /// Hosts, database, user, password, and `connect_timeout` where the URL has it. `Debug` hides the password.
    pub connect: postgres::Config,
    /// How much TLS is required.
    pub ssl_mode: SslMode,
    /// The authorities to trust for the server's certificate.
    pub authorities: Authorities,
}

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

impl Server {
    /// Its hosts, in the order of the URL.
    #[must_use]
    pub fn hosts(&self) -> Vec<ServerHost<'_>> {
        let (ips, ports) = (self.connect.get_hostaddrs(), self.connect.get_ports());
        // There is one port for all hosts, or one for each.
        let port = |number| ports.get(number).or(ports.first()).copied().unwrap_or(5432);
        let host = |(number, address)| ServerHost { address, ip: ips.get(number).copied(), port: port(number) };
        self.connect.get_hosts().iter().enumerate().map(host).collect()
    }

    /// Whether every host is this machine, so that no network can read the connection.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        // The driver connects to `hostaddr` where it is set.
        self.connect.get_hostaddrs().iter().all(IpAddr::is_loopback)
            && self.connect.get_hosts().iter().all(|host| match host {
                Host::Unix(_) => true,
                Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
            })
    }
}

impl fmt::Display for Server {
    /// Database, user and hosts, without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.connect.get_user().unwrap_or("(the system's user)");
        let hosts: Vec<String> = self.hosts().iter().map(ToString::to_string).collect();
        write!(formatter, "{} as {user} at {}", self.connect.get_dbname().unwrap_or(user), hosts.join(", "))
    }
}

/// One host of a [`Server`].
#[derive(Debug, Clone, Copy)]
pub struct ServerHost<'a> {
    /// Its name, or the folder of its socket.
    pub address: &'a Host,
    /// Where the name is not looked up.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl ServerHost<'_> {
    /// The path of its Unix socket, if it has one.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        match self.address {
            Host::Tcp(_) => None,
            Host::Unix(folder) => Some(folder.join(format!(".s.PGSQL.{}", self.port))),
        }
    }
}

impl fmt::Display for ServerHost<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Host::Tcp(name) => write!(formatter, "{}", host::with_port(name, self.port))?,
            Host::Unix(folder) => write!(formatter, "{}, port {}", folder.display(), self.port)?,
        }
        self.ip.map_or(Ok(()), |ip| write!(formatter, " ({ip})"))
    }
}

pub(super) fn read(reader: &mut Reader, environment: Environment) -> Database {
    let mut parts = vec!["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];
    parts.retain(|name| reader.is_given(name));
    let (connect, ssl_mode, root_cert) = if reader.is_given("DATABASE_URL") {
        if !parts.is_empty() {
            let (names, verb) = (parts.join(", "), if parts.len() == 1 { "is" } else { "are" });
            reader.problem("DATABASE_URL", format!("{names} {verb} set too; keep the URL or the DB_* variables"));
        }
        // One that cannot be used is a problem already.
        let url = reader.set("DATABASE_URL").unwrap_or_else(|| "postgres://unusable".to_owned());
        read_url(reader, &url)
    } else if parts.is_empty() {
        return Database::Private(read_private(reader, environment));
    } else {
        (read_parts(reader), None, None)
    };
    let (ssl_mode, authorities) = read_tls(reader, ssl_mode, root_cert);
    Database::Server(Box::new(Server { connect, ssl_mode, authorities }))
}

fn read_private(reader: &mut Reader, environment: Environment) -> PrivateServer {
    if environment == Environment::Production {
        reader.problem("DATABASE_URL", "required in production, or DB_HOST, DB_NAME, DB_USER and DB_PASSWORD; a private PostgreSQL is for development");
    }
    for name in ["DB_SSLMODE", "DB_SSLROOTCERT"] {
        if reader.is_given(name) {
            let problem = "set without DATABASE_URL or DB_HOST; the private PostgreSQL is reached without a network";
            reader.problem(name, problem);
        }
    }
    if reader.is_given("DB_DISTRIBUTE") {
        let problem = "set without DATABASE_URL or DB_HOST; the private PostgreSQL is one server";
        reader.problem("DB_DISTRIBUTE", problem);
    }
    // The XDG Base Directory Specification has relative paths ignored.
    let below = |name: &str, path: &str| {
        reader.foreign(name).map(PathBuf::from).filter(|folder| folder.is_absolute()).map(|folder| folder.join(path))
    };
    let (xdg, home) = (below("XDG_DATA_HOME", "safespace"), below("HOME", ".local/share/safespace"));
    let data_folder = reader
        .path("SAFESPACE_DATA_DIR")
        .or_else(|| nix::unistd::geteuid().is_root().then(|| PathBuf::from("/var/lib/safespace")))
        .or(xdg)
        .or(home)
        .unwrap_or_else(|| {
            reader.problem("SAFESPACE_DATA_DIR", "required where HOME and XDG_DATA_HOME are not set");
            PathBuf::new()
        });
    PrivateServer {
        // PostgreSQL runs in another working folder, where a relative path would name another folder.
        data_folder: std::path::absolute(&data_folder).unwrap_or(data_folder),
        binaries: reader.path("PG_BIN"),
    }
}

fn read_parts(reader: &mut Reader) -> postgres::Config {
    let mut connect = postgres::Config::new();
    connect.host(&read_host(reader)).port(reader.number("DB_PORT", 1..=u16::MAX));
    connect.dbname(&reader.text("DB_NAME")).user(&reader.text("DB_USER"));
    match reader.set("DB_PASSWORD") {
        Some(password) => _ = connect.password(password),
        None if reader.is_given("DB_PASSWORD") => {}
        None => reader.problem("DB_PASSWORD", "required as soon as one of DB_HOST, DB_PORT, DB_NAME, DB_USER is set"),
    }
    connect
}

/// A name or an address, or the folder of a Unix socket.
fn read_host(reader: &mut Reader) -> String {
    let text = reader.text("DB_HOST");
    if text.starts_with('~') {
        return reader.expand_home("DB_HOST", &text).display().to_string();
    }
    let problem = match host::parse_or_folder(&text) {
        Ok(host) => return host.to_owned(),
        Err(_) if text.contains(',') => "has several hosts; DATABASE_URL can have them",
        Err(problem) => problem,
    };
    reader.problem("DB_HOST", format_args!("\"{text}\" {problem}"));
    text
}

/// The connection, with `sslmode` and `sslrootcert`.
fn read_url(reader: &mut Reader, url: &str) -> (postgres::Config, Option<String>, Option<String>) {
    match connection_url::parse(url) {
        Ok(mut parameters) => {
            connection_parameters::check(reader, &parameters);
            parameters.retain(|_, value| !value.is_empty());
            let connect = connection_parameters::connect(reader, &parameters);
            (connect, parameters.remove("sslmode"), parameters.remove("sslrootcert"))
        }
        Err(problem) => {
            reader.problem("DATABASE_URL", problem);
            (postgres::Config::new(), None, None)
        }
    }
}

/// The mode and the authorities, from the URL's parameters `sslmode` and `sslrootcert` or from `DB_SSL*`.
fn read_tls(reader: &mut Reader, mode: Option<String>, root_cert: Option<String>) -> (SslMode, Authorities) {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let modes = [
        ("disable", Disable),
        // libpq tries plain text first, which is no gain.
        ("allow", Prefer),
        ("prefer", Prefer),
        ("require", Require),
        ("verify-ca", VerifyCa),
        ("verify-full", VerifyFull),
    ];
    let ssl_mode = match mode {
        Some(mode) => {
            if reader.set("DB_SSLMODE").is_some() {
                reader.problem("DB_SSLMODE", "DATABASE_URL has a sslmode too; keep one of them");
            }
            pick(&mode, &modes).unwrap_or_else(|| {
                reader.problem("DATABASE_URL", format_args!("its sslmode is not one of {}", words(&modes)));
                Prefer
            })
        }
        None => reader.choice("DB_SSLMODE", &modes),
    };
    if root_cert.is_some() && reader.set("DB_SSLROOTCERT").is_some() {
        reader.problem("DB_SSLROOTCERT", "DATABASE_URL has a sslrootcert too; keep one of them");
    }
    let root_cert = root_cert.or_else(|| reader.set("DB_SSLROOTCERT"));
    (ssl_mode, read_authorities(reader, root_cert.as_deref(), ssl_mode))
}

fn read_authorities(reader: &mut Reader, path: Option<&str>, ssl_mode: SslMode) -> Authorities {
    let problem = match path {
        None if ssl_mode < SslMode::VerifyCa => return Authorities::None,
        None => "required with verify-ca and verify-full: a PEM file, or 'system' with verify-full".to_owned(),
        Some("system") if ssl_mode == SslMode::VerifyFull => return Authorities::System,
        // As in libpq: public authorities issue certificates to anyone, so only the host name identifies the server.
        Some("system") => "'system' needs DB_SSLMODE=verify-full".to_owned(),
        Some(text) => {
            let path = reader.expand_home("DB_SSLROOTCERT", text);
            match CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(certificates) if !certificates.is_empty() => return Authorities::Given(certificates),
                Ok(_) => format!("{} holds no certificate in PEM form", path.display()),
                Err(error) => format!("cannot read {}: {error}", path.display()),
            }
        }
    };
    reader.problem("DB_SSLROOTCERT", problem);
    Authorities::None
}
