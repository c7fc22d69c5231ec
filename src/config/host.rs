//! Names and addresses of hosts, as they are given and as they are printed.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::reader::Reader;

/// Maximum length of a name in the domain name system, RFC 1035, with its final dot.
const MAX_LENGTH: usize = 254;

/// The host that a variable names, without the brackets of an IPv6 address.
pub(super) fn read(reader: &mut Reader, name: &str) -> String {
    let text = reader.text(name);
    match parse(&text) {
        Ok(host) => host.to_owned(),
        Err(problem) => {
            reader.problem(name, format_args!("\"{text}\" {problem}"));
            text
        }
    }
}

/// The same, or the absolute path of the folder of a Unix socket.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_or_folder(text: &str) -> Result<&str, &'static str> {
    let is_socket = text.rsplit('/').next().is_some_and(|file| file.starts_with(".s.PGSQL."));
    match text {
        _ if !text.starts_with('/') => parse(text),
        _ if is_socket => Err("is a Unix socket; write its folder, without .s.PGSQL.5432"),
        _ => Ok(text),
    }
}

/// A name, an IPv4 address, or an IPv6 address with or without brackets, which are taken off.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence.
pub(super) fn parse(text: &str) -> Result<&str, &'static str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    if text.contains("://") {
        return Err("has a scheme; write the name or address of the host alone");
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = inner.or(Some(text).filter(|text| text.matches(':').count() > 1)) {
        let (address_alone, zone) = address.split_once('%').unwrap_or((address, "0"));
        let is_address = address_alone.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_of_name);
        return if is_address {
            Ok(address)
        } else {
            Err("is not an IPv6 address such as ::1 or [::1], without a port")
        };
    }
    // Four numbers are meant as an address; the system's resolver would ask the name servers for 127.0.0.256.
    let is_like_ipv4 = text.split('.').count() == 4 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text {
        "" => Err("is empty"),
        _ if text.contains(':') => Err("has a port; write the name or address of the host alone"),
        _ if !text.is_ascii() => Err("is not ASCII; write an international name in its ASCII form, xn--..."),
        _ if !text.chars().all(is_of_name) || text.starts_with(['-', '.']) || text.contains("..") => {
            Err("is not the name or address of one host, such as localhost, 127.0.0.1 or ::1")
        }
        _ if text.len() > MAX_LENGTH => Err("has more than 254 characters, which no name of a host has"),
        _ if is_like_ipv4 && text.parse::<Ipv4Addr>().is_err() => Err("is not an IPv4 address such as 127.0.0.1"),
        _ => Ok(text),
    }
}

/// A host and a port as in a URL: an IPv6 address has brackets.
pub(super) fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
