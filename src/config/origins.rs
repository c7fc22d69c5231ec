//! The other origins whose pages may use the API (`CORS_ALLOWED_ORIGINS`).

use std::fmt;
use std::net::Ipv6Addr;

use super::host;
use super::reader::Reader;
use super::settings::Environment;

/// Maximum of origins in the list.
const MAX_ORIGINS: usize = 100;

/// The hosts of [`AllowedOrigins::Local`], as they are in an origin.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const FORM: &str = "write http:// or https://, the host, and the port unless it is the default, \
                    such as https://chat.example or http://localhost:5173";

/// The other origins whose pages may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any port of `localhost`, `127.0.0.1` and `[::1]`: a front-end's server in development.
    Local,
    /// These, 100 at most, as browsers serialise them (RFC 6454, section 6.2).
    Listed(Vec<String>),
}

impl AllowedOrigins {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, AllowedOrigins::Listed(origins) if origins.is_empty())
    }

    /// Whether this value of `Origin` is one of them, byte for byte.
    #[must_use]
    pub fn contains(&self, origin: &str) -> bool {
        match self {
            AllowedOrigins::Local => is_local(origin).unwrap_or(false),
            AllowedOrigins::Listed(origins) => origins.iter().any(|allowed| allowed == origin),
        }
    }
}

impl fmt::Display for AllowedOrigins {
    /// For the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AllowedOrigins::Local => write!(formatter, "any port of {}", LOCAL_HOSTS.join(", ")),
            AllowedOrigins::Listed(origins) if origins.is_empty() => formatter.write_str("none"),
            AllowedOrigins::Listed(origins) => formatter.write_str(&origins.join(", ")),
        }
    }
}

/// `None` where it is not of the form that browsers send.
fn is_local(origin: &str) -> Option<bool> {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    let port = LOCAL_HOSTS.iter().find_map(|host| authority.strip_prefix(host))?;
    let digits = port.strip_prefix(':').unwrap_or("80");
    Some((port.is_empty() || port.starts_with(':')) && is_port(digits))
}

/// Whether this is the number of a port, in digits alone and without a zero in front.
fn is_port(digits: &str) -> bool {
    digits.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == digits)
}

pub(super) fn read(reader: &mut Reader, environment: Environment) -> AllowedOrigins {
    const NAME: &str = "CORS_ALLOWED_ORIGINS";
    if environment == Environment::Development && !reader.is_given(NAME) {
        return AllowedOrigins::Local;
    }
    AllowedOrigins::Listed(read_list(reader, NAME))
}

/// The origins in a list, each once, as browsers serialise them.
pub(super) fn read_list(reader: &mut Reader, name: &str) -> Vec<String> {
    let text = reader.text(name);
    let mut origins = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match parse(item) {
            Ok(origin) if origins.contains(&origin) => {}
            Ok(origin) => origins.push(origin),
            Err(problem) => reader.problem(name, format_args!("\"{item}\" {problem}")),
        }
    }
    if origins.len() > MAX_ORIGINS {
        reader.problem(name, format_args!("it has {} origins, and may have {MAX_ORIGINS} at most", origins.len()));
    }
    origins
}

/// An origin as a browser serialises it: in lower case, without the default port.
fn parse(text: &str) -> Result<String, String> {
    match text {
        "*" => return Err(format!("would let every page use the service; name the origins: {FORM}")),
        "null" => return Err(format!("is what a sandboxed page of any site sends; name the origins: {FORM}")),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    let (default_port, authority) = match lower.split_once("://") {
        Some(("http", authority)) => ("80", authority),
        Some(("https", authority)) => ("443", authority),
        _ => return Err(format!("does not begin with http:// or https://; {FORM}")),
    };
    if authority.contains(['/', '?', '#', '\\']) {
        return Err("has a path, or a / at its end, which no origin has; end it with the host or the port".to_owned());
    }
    if authority.contains('@') {
        return Err("has a user in it, which no origin has".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, default_port),
    };
    if !is_port(port) {
        return Err(format!("has a port that is not a number from 1 to 65535; {FORM}"));
    }
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if (host.contains(':') && !is_bracketed) || host.contains('%') {
        return Err("is not an IPv6 address in brackets, without a zone, such as http://[::1]:5173".to_owned());
    }
    let host = match host::parse(host).map_err(|problem| format!("has a host that {problem}"))? {
        address if is_bracketed => {
            let address = address.parse::<Ipv6Addr>().map_err(|error| error.to_string())?;
            if address.to_ipv4_mapped().is_some() {
                return Err("is an IPv4 address in the form of IPv6; write it as IPv4".to_owned());
            }
            format!("[{address}]")
        }
        name => name.to_owned(),
    };
    let scheme = lower.split(':').next().unwrap_or_default();
    let port = if port == default_port { String::new() } else { format!(":{port}") };
    Ok(format!("{scheme}://{host}{port}"))
}
