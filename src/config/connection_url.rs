//! The grammar of `DATABASE_URL`: what libpq's `conninfo_uri_parse` reads (PostgreSQL manual, section 34.1.1.2).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::reader::is_quoted;

/// The parameters of a connection by libpq's names. An empty one counts as not given.
pub(super) type Parameters = BTreeMap<String, String>;

const FORM: &str = "not a URL of the form postgres://user:password@host:port/name; \
                    write special characters in a password as %XX";

/// Reads a URL: first `user:password@host:port,host:port/name`, then the query, which overrides it.
///
/// # Errors
/// What is wrong, without a part of the URL, which may be one of the password. What libpq reads in a way that is hardly meant
/// is an error too: white space, and an `@` behind the host, where a password is not percent-encoded.
pub(super) fn parse(url: &str) -> Result<Parameters, &'static str> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(|| wrong_beginning(url))?;
    if rest.contains(char::is_whitespace) {
        return Err("it has white space inside; write %20");
    }
    let (userinfo, rest) = match rest.find(['@', '/']) {
        Some(index) if rest[index..].starts_with('@') => (&rest[..index], &rest[index + 1..]),
        _ => ("", rest),
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, name) = address.split_once('/').unwrap_or((address, ""));
    if address.contains('@') {
        return Err(FORM);
    }
    let (hosts, ports) = split_ports(hosts)?;
    let mut parameters = Parameters::new();
    for (key, value) in [("user", user), ("password", password), ("host", &hosts), ("port", &ports), ("dbname", name)] {
        parameters.insert(key.to_owned(), decode(value)?);
    }
    for pair in query.strip_suffix('&').unwrap_or(query).split('&').filter(|_| !query.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a parameter after the ? has no value; write name=value")?;
        if value.contains('=') {
            return Err("a value after the ? has a = in it; write %3D");
        }
        let (key, value) = (decode(key)?, decode(value)?);
        // As in libpq, for URLs that were written for JDBC.
        let is_jdbc = key == "ssl" && value == "true";
        let (key, value) = if is_jdbc { ("sslmode".to_owned(), "require".to_owned()) } else { (key, value) };
        parameters.insert(key, value);
    }
    Ok(parameters)
}

fn wrong_beginning(url: &str) -> &'static str {
    let is_of_scheme = |character: char| character.is_ascii_alphanumeric() || "+-.:".contains(character);
    if is_quoted(url) {
        "it has quotes around it; remove them"
    } else if url.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(is_of_scheme)) {
        "it must begin with postgres:// or postgresql://"
    } else {
        FORM
    }
}

/// The hosts and the ports, each separated by commas; a host without a port has an empty one.
fn split_ports(text: &str) -> Result<(String, String), &'static str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for address in text.split(',') {
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("it has a [ without a ]")?;
                if host.is_empty() || !(rest.is_empty() || rest.starts_with(':')) {
                    return Err("an IPv6 address in it is not of the form [::1] or [::1]:5432");
                }
                (host, rest.strip_prefix(':').unwrap_or(""))
            }
            None => address.split_once(':').unwrap_or((address, "")),
        };
        if port.contains(':') {
            return Err("an IPv6 address in it needs brackets, as in [::1]:5432");
        }
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn decode(text: &str) -> Result<String, &'static str> {
    let is_hexadecimal = |code: &&str| code.len() >= 2 && code.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(|code| is_hexadecimal(&code) && !code.starts_with("00")) {
        return Err("it has a % without two hexadecimal digits other than 00 behind it; write a % itself as %25");
    }
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| "it has %XX that are not UTF-8")
}
