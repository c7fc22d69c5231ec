//! The parameters of libpq (PostgreSQL manual, section 34.1.2), and what becomes of each of them here.

use std::net::IpAddr;
use std::time::Duration;

use postgres::Config;
use postgres::config::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs};

use super::connection_url::Parameters;
use super::host;
use super::reader::{Reader, words};

/// What becomes of a parameter.
enum Rule {
    /// Its value is used.
    Used,
    /// These values ask for what happens anyway; others cannot be had, for this reason.
    Only(&'static [&'static str], &'static str),
    /// It changes nothing, for this reason; a warning says so.
    NoEffect(&'static str),
    /// It cannot be had, for this reason, and without it the connection would be weaker or another one.
    Refused(&'static str),
}
use Rule::{NoEffect, Only, Refused, Used};

const DEFAULT_PORT: u16 = 5432;

/// Seconds, as `DB_CONNECTION_TIMEOUT` allows them.
const MAX_CONNECT_TIMEOUT: u64 = 300;

const KEEPALIVE: Rule = NoEffect("SafeSpace chooses the intervals");
const CLIENT_CERTIFICATE: Rule = Refused("SafeSpace logs in with a password, not with a client certificate");
const REVOCATION: Rule = Refused("SafeSpace reads no list of revoked certificates");
const FILES: Rule = Refused("SafeSpace reads no service or password file; write its contents into the URL");
const LOGIN: Rule = Refused("SafeSpace logs in with a password only");
const KERBEROS: Rule = NoEffect("SafeSpace does not use Kerberos");

#[rustfmt::skip]
const PARAMETERS: &[(&str, Rule)] = &[
    ("host", Used), ("hostaddr", Used), ("port", Used), ("dbname", Used), ("user", Used), ("password", Used),
    ("options", Used), ("application_name", Used), ("fallback_application_name", Used), ("sslmode", Used),
    ("sslrootcert", Used), ("target_session_attrs", Used), ("channel_binding", Used), ("load_balance_hosts", Used),
    ("connect_timeout", Used), ("tcp_user_timeout", NoEffect("DB_QUERY_TIMEOUT bounds it")),
    ("keepalives", KEEPALIVE), ("keepalives_idle", KEEPALIVE), ("keepalives_interval", KEEPALIVE),
    ("keepalives_count", KEEPALIVE),
    ("gssencmode", Only(&["disable", "prefer"], "SafeSpace does not use Kerberos")),
    ("gssdelegation", Only(&["0"], "SafeSpace does not use Kerberos")),
    ("krbsrvname", KERBEROS), ("gsslib", KERBEROS),
    ("client_encoding", Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"], "SafeSpace speaks UTF-8")),
    ("replication", Only(&["false", "off", "no", "0"], "SafeSpace runs statements, and a replica takes none")),
    ("sslnegotiation", Only(&["postgres"], "SafeSpace asks for TLS as every version of PostgreSQL understands it")),
    ("sslcompression", Only(&["0", "1"], "TLS has no compression any more")),
    ("sslsni", Only(&["1"], "SafeSpace always sends the name of the host")),
    ("sslcertmode", Only(&["disable", "allow"], "SafeSpace has no client certificate")),
    ("ssl_min_protocol_version", Only(&["TLSv1", "TLSv1.1", "TLSv1.2"], "SafeSpace takes TLS 1.2 and 1.3")),
    ("ssl_max_protocol_version", Only(&["TLSv1.3"], "SafeSpace takes TLS 1.2 and 1.3")),
    ("min_protocol_version", Only(&["3.0"], "SafeSpace speaks version 3.0")),
    ("max_protocol_version", Only(&["3.0", "3.2", "latest"], "SafeSpace speaks version 3.0")),
    ("sslcert", CLIENT_CERTIFICATE), ("sslkey", CLIENT_CERTIFICATE), ("sslpassword", CLIENT_CERTIFICATE),
    ("sslcrl", REVOCATION), ("sslcrldir", REVOCATION),
    ("sslkeylogfile", Refused("SafeSpace writes no keys to a file")),
    ("requirepeer", Refused("SafeSpace does not check the user behind a socket")),
    ("require_auth", Refused("SafeSpace does not choose how to log in; channel_binding=require is understood")),
    ("service", FILES), ("passfile", FILES),
    ("scram_client_key", LOGIN), ("scram_server_key", LOGIN), ("oauth_issuer", LOGIN), ("oauth_client_id", LOGIN),
    ("oauth_client_secret", LOGIN), ("oauth_scope", LOGIN),
    // Not of libpq, but common.
    ("schema", Refused("it is not one of libpq's; write options=-csearch_path%3DNAME")),
    ("currentSchema", Refused("it is not one of libpq's; write options=-csearch_path%3DNAME")),
    ("connection_limit", Refused("it is not one of libpq's; DB_POOL_MAX_SIZE bounds the connections")),
    ("pool_timeout", Refused("it is not one of libpq's; DB_ACQUIRE_TIMEOUT_MS bounds the wait")),
    ("pgbouncer", Refused("it is not one of libpq's; SafeSpace needs no setting for PgBouncer")),
];

/// Finds parameters that are not known, cannot be had, or have no effect.
pub(super) fn check(reader: &mut Reader, parameters: &Parameters) {
    // With an @ in another than these, a name is more likely a part of a password with a / and a ? in it.
    let is_doubtful =
        parameters.iter().any(|(name, value)| !["user", "password"].contains(&name.as_str()) && value.contains('@'));
    for (name, value) in parameters {
        let rule = PARAMETERS.iter().find(|(known, _)| known == name).map(|(_, rule)| rule);
        let problem = match rule {
            Some(_) if value.is_empty() => continue,
            Some(Used) => continue,
            Some(Only(values, _)) if values.contains(&value.as_str()) => continue,
            Some(NoEffect(reason)) => {
                reader.warnings.push(format!("DATABASE_URL: its parameter {name} has no effect: {reason}"));
                continue;
            }
            Some(Only(values, reason)) => {
                format!("its parameter {name} can only be {}: {reason}", values.join(" or "))
            }
            Some(Refused(reason)) => format!("its parameter {name} cannot be used: {reason}"),
            None if is_doubtful => "it has a parameter, after the ?, that is not known".to_owned(),
            None => format!("its parameter {name} is not one of libpq's; correct its name, or remove it"),
        };
        reader.problem("DATABASE_URL", problem);
    }
}

/// The configuration of the driver, without TLS.
pub(super) fn connect(reader: &mut Reader, parameters: &Parameters) -> Config {
    let get = |name: &str| parameters.get(name).map(String::as_str);
    let mut connect = Config::new();
    if let Err(problem) = set_hosts(&mut connect, get("host"), get("hostaddr"), get("port")) {
        reader.problem("DATABASE_URL", problem);
    }
    let _ = get("dbname").map(|name| connect.dbname(name));
    let _ = get("user").map(|user| connect.user(user));
    let _ = get("password").map(|password| connect.password(password));
    let _ = get("options").map(|options| connect.options(options));
    let application = get("application_name").or(get("fallback_application_name"));
    let _ = application.map(|name| connect.application_name(name));
    let choices = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        // The driver does not tell a primary from a standby. One that refuses writes is of no use either.
        ("primary", TargetSessionAttrs::ReadWrite),
    ];
    let writes = "; SafeSpace writes, and a server that only reads cannot serve it";
    let attributes = choose(reader, get, "target_session_attrs", &choices, writes);
    // Of several hosts one takes writes.
    let default = if connect.get_hosts().len() > 1 { TargetSessionAttrs::ReadWrite } else { TargetSessionAttrs::Any };
    connect.target_session_attrs(attributes.unwrap_or(default));
    if let Some(seconds) = get("connect_timeout") {
        match seconds.parse().ok().filter(|seconds| (1..=MAX_CONNECT_TIMEOUT).contains(seconds)) {
            Some(seconds) => _ = connect.connect_timeout(Duration::from_secs(seconds)),
            None => reader.problem(
                "DATABASE_URL",
                format_args!("its connect_timeout is not a whole number of seconds from 1 to {MAX_CONNECT_TIMEOUT}"),
            ),
        }
    }
    let choices = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    let _ = choose(reader, get, "channel_binding", &choices, "").map(|binding| connect.channel_binding(binding));
    let choices = [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];
    let _ = choose(reader, get, "load_balance_hosts", &choices, "").map(|order| connect.load_balance_hosts(order));
    connect
}

fn choose<'a, T: Copy>(
    reader: &mut Reader,
    get: impl Fn(&str) -> Option<&'a str>,
    name: &str,
    choices: &[(&str, T)],
    reason: &str,
) -> Option<T> {
    let value = get(name)?;
    let choice = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
    if choice.is_none() {
        reader.problem("DATABASE_URL", format_args!("its {name} is not one of {}{reason}", words(choices)));
    }
    choice
}

/// Sets one or more hosts: folders of sockets, or names, each with its address if `addresses` are given. There is one port
/// for all of them, or one for each.
fn set_hosts(
    connect: &mut Config,
    hosts: Option<&str>,
    addresses: Option<&str>,
    ports: Option<&str>,
) -> Result<(), String> {
    // An address without a name is its own name.
    let Some(names) = hosts.or(addresses) else {
        return Err("it names no host; the folder of a Unix socket is ?host=/var/run/postgresql".to_owned());
    };
    let names: Vec<&str> = names.split(',').collect();
    for name in &names {
        connect.host(host::parse_or_folder(name).map_err(|problem| format!("a host in it {problem}"))?);
    }
    let addresses: Vec<&str> = addresses.map_or_else(Vec::new, |addresses| addresses.split(',').collect());
    if !addresses.is_empty() && addresses.len() != names.len() {
        return Err(format!("it has {} hostaddr for {} hosts", addresses.len(), names.len()));
    }
    for address in addresses {
        let address: IpAddr =
            address.parse().map_err(|_| "its hostaddr is not an address such as 10.0.0.1 or ::1".to_owned())?;
        connect.hostaddr(address);
    }
    if !connect.get_hostaddrs().is_empty() && names.iter().any(|name| name.starts_with('/')) {
        return Err("it has a hostaddr for the folder of a Unix socket; keep one of them".to_owned());
    }
    let ports: Vec<&str> = ports.map_or_else(Vec::new, |ports| ports.split(',').collect());
    if ports.len() > 1 && ports.len() != names.len() {
        return Err(format!("it has {} ports for {} hosts", ports.len(), names.len()));
    }
    for port in ports {
        let port = if port.is_empty() { Ok(DEFAULT_PORT) } else { port.parse() };
        // A / in a password that is not percent-encoded puts a part of it here.
        let problem = "its port is not a number from 1 to 65535; write a / in a password as %2F";
        connect.port(port.ok().filter(|port| *port > 0).ok_or(problem)?);
    }
    Ok(())
}
