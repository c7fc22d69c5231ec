//! The environment of the process, without what Kubernetes or Docker set there for other services.

use std::ffi::OsString;

use super::reader::Reader;
use super::variables::{is_known, resembles_known};

/// Adds the variables of the environment. Kubernetes gives every container `NAME_PORT=tcp://ADDRESS:PORT` and more for each
/// Service of its namespace; of a Service called `db` or `app` they have the names of this program's variables. They are left
/// out with one warning.
pub(super) fn add(reader: &mut Reader, variables: impl Iterator<Item = (OsString, OsString)>) {
    let mut injected = Vec::new();
    for (name, value) in variables {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) if is_injected(&name, &value) => injected.push(name),
            (Ok(name), Ok(value)) => reader.add(&name, &value),
            (Ok(name), Err(_)) if is_known(&name) => reader.unusable(&name, "not UTF-8"),
            _ => {}
        }
    }
    injected.retain(|name| is_known(name) || resembles_known(name));
    if !injected.is_empty() {
        injected.sort_unstable();
        reader.name_warnings.push(format!(
            "{}: ignored, because Kubernetes or Docker set it for a service of that name; set the variables that you \
             mean yourself, and in a pod `enableServiceLinks: false` to have none of these",
            injected.join(", ")
        ));
    }
}

/// Whether it has the form of a service link (Kubernetes: `pkg/kubelet/envvars`; Docker: "Legacy container links").
fn is_injected(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.trim().starts_with(scheme));
    // PORT_5432_TCP, with _PROTO, _PORT or _ADDR behind it.
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
            && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
    };
    (name.ends_with("_PORT") && is_url)
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}
