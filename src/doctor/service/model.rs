//! Where the model is, and who can read what is sent to it.

use std::net::{SocketAddr, ToSocketAddrs};

use super::checks;
use crate::config::ModelSettings;
use crate::doctor::finding::Report;
use crate::peers::is_local;

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// On this machine.
    Machine,
    /// In a private network.
    PrivateNetwork,
    /// Anywhere else, also in part.
    Public,
}

/// Where a name or an address leads to; `None` where a name does not resolve.
pub(super) fn place(host: &str, port: u16) -> Option<Place> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().ok()?.collect();
    let of_address = |address: &SocketAddr| match address.ip().to_canonical() {
        ip if ip.is_loopback() => Place::Machine,
        ip if is_local(ip) => Place::PrivateNetwork,
        _ => Place::Public,
    };
    addresses.iter().map(of_address).max()
}

pub(super) fn judge(model: &ModelSettings, report: &mut Report) {
    let is_plain = model.base_url.scheme_str() == Some("http");
    let port = model.base_url.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    let host = model.host();
    let Some(place) = place(host, port) else {
        return report.skip(
            format!("where the model at {host} is"),
            "its name does not resolve here",
            "resolve it on the service's machine",
        );
    };
    match place {
        Place::Public if is_plain => {
            report.find(checks::MODEL_PLAIN, format_args!("the model at {host} is asked over http"));
        }
        Place::PrivateNetwork if is_plain => {
            report.find(
                checks::MODEL_NETWORK,
                format_args!("the model at {host} is asked over http, in a private network"),
            );
        }
        _ => {}
    }
    if place == Place::Public {
        report.find(checks::MODEL_PUBLIC, format_args!("the model at {host} is on the public Internet"));
    } else if !model.local_only {
        report
            .find(checks::MODEL_EGRESS, format_args!("the model at {host} is not public, and COMPANION_EGRESS is any"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_where_its_farthest_address_is() {
        for (host, expected) in [
            ("127.0.0.1", Some(Place::Machine)),
            ("::1", Some(Place::Machine)),
            ("10.1.2.3", Some(Place::PrivateNetwork)),
            ("fd00::1", Some(Place::PrivateNetwork)),
            ("192.0.2.1", Some(Place::Public)),
            ("0.0.0.0", Some(Place::Public)),
            ("name.invalid", None),
        ] {
            assert_eq!(place(host, 80), expected, "{host}");
        }
    }
}
