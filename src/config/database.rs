//! Which PostgreSQL stores the data: that of a URL, that of five variables, or a private one if none of them is set.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use postgres::config::Host;

use super::environment::Environment;
use super::reader::Reader;
use super::tls::{self, Authorities, SslMode, UrlTls};

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
    /// Hosts, database, user and password. `Debug` hides the password.
    pub connect: postgres::Config,
    /// How much TLS is required.
    pub ssl_mode: SslMode,
    /// The authorities to trust for the server's certificate.
    pub authorities: Authorities,
}

impl Server {
    /// Whether every host is this machine, so that no network can read the connection.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        let is_loopback = |name: &String| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        // The driver connects to `hostaddr` where it is set.
        self.connect.get_hostaddrs().iter().all(IpAddr::is_loopback)
            && self.connect.get_hosts().iter().all(|host| match host {
                Host::Unix(_) => true,
                Host::Tcp(name) => is_loopback(name),
            })
    }
}

impl fmt::Display for Server {
    /// Database, user and hosts, without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.connect.get_user().unwrap_or("(the system's user)");
        write!(formatter, "{} as {user} at ", self.connect.get_dbname().unwrap_or(user))?;
        for (number, host) in self.connect.get_hosts().iter().enumerate() {
            // There is one port for all hosts, or one for each.
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

/// The five variables that describe one server.
const PARTS: [&str; 5] = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];

pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Database {
    let parts: Vec<&str> = PARTS.into_iter().filter(|name| reader.is_given(name)).collect();
    if reader.is_given("DATABASE_URL") {
        if !parts.is_empty() {
            reader
                .problem("DATABASE_URL", format_args!("{} set too; keep the URL or the DB_* variables", list(&parts)));
        }
        // A file that cannot be read is a problem already.
        let url = reader.set("DATABASE_URL").unwrap_or_else(|| "postgres://unread".to_owned());
        let (connect, tls) = read_url(reader, &url);
        Database::Server(Box::new(server(reader, connect, tls)))
    } else if parts.is_empty() {
        Database::Private(read_private(reader, environment))
    } else {
        let connect = read_parts(reader);
        Database::Server(Box::new(server(reader, connect, UrlTls::default())))
    }
}

fn server(reader: &mut Reader<'_>, connect: postgres::Config, tls: UrlTls) -> Server {
    let (ssl_mode, authorities) = tls::read(reader, tls);
    Server { connect, ssl_mode, authorities }
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
        // PostgreSQL runs in another working folder, where a relative path would name another folder.
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
    // The parser's error may quote a part of a password with a ? or an @ in it.
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
    // With a second @, a password that is not percent-encoded is parsed as the host, and printed as such.
    let is_unambiguous = url.split('?').next().is_some_and(|address| address.matches('@').count() < 2);
    url.parse().ok().filter(|_| is_url && is_unambiguous)
}
