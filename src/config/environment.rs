//! The environment of the process, without what Kubernetes or Docker set there for other services.

use std::ffi::OsString;

use super::reader::Reader;
use super::variables::{is_known, resembles_known};

/// Adds the variables of the environment. Kubernetes gives every container `NAME_PORT=tcp://ADDRESS:PORT` and more for each
/// Service of its namespace; of a Service called `db` or `app` they have the names of this program's variables. They are left
/// out with one warning.
pub(super) fn add(reader: &mut Reader, variables: impl Iterator<Item = (OsString, OsString)>) {
    let variables: Vec<_> = variables.map(|(name, value)| (name.into_string(), value.into_string())).collect();
    let links = variables.iter().filter_map(|variable| match variable {
        (Ok(name), Ok(value)) if is_url(value) => name.strip_suffix("_PORT"),
        _ => None,
    });
    let links: Vec<String> = links.map(ToOwned::to_owned).collect();
    let mut injected = Vec::new();
    for variable in variables {
        match variable {
            (Ok(name), Ok(value)) if is_injected(&name, &value) => injected.push(name),
            (Ok(name), Ok(value)) if links.iter().any(|link| is_of_link(link, &name, &value)) => injected.push(name),
            (Ok(name), Ok(value)) => reader.add(&name, &value),
            (Ok(name), Err(_)) if is_known(&name) => reader.unusable(&name, "not UTF-8"),
            _ => {}
        }
    }
    injected.retain(|name| is_known(name) || resembles_known(name));
    if !injected.is_empty() {
        injected.sort_unstable();
        let it = if injected.len() == 1 { "it for a service of that name" } else { "them for services of those names" };
        reader.name_warnings.push(format!(
            "{}: ignored, because Kubernetes or Docker set {it}; set the variables that you \
             mean yourself, and in a pod `enableServiceLinks: false` to have none of these",
            injected.join(", ")
        ));
    }
}

/// Whether it has the form of a service link (Kubernetes: `pkg/kubelet/envvars`; Docker: "Legacy container links").
fn is_injected(name: &str, value: &str) -> bool {
    // PORT_5432_TCP, with _PROTO, _PORT or _ADDR behind it.
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
            && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
    };
    (name.ends_with("_PORT") && is_url(value))
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}

fn is_url(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.trim().starts_with(scheme))
}

/// Whether Docker sets it for a link of this name, beside its `_PORT`: `DB_NAME=/web/db`, and `DB_ENV_` with each variable of
/// the other container.
fn is_of_link(link: &str, name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(link) else { return false };
    rest.starts_with("_ENV_") || (rest == "_NAME" && value.strip_prefix('/').is_some_and(|path| path.contains('/')))
}
