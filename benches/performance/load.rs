//! The load: what wrk asks for, with which ids, and what its report says.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Outcome;

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Create,
    Read,
    Delete,
    Health,
    Root,
}

pub(crate) const WORKS: [Work; 5] = [Work::Create, Work::Read, Work::Delete, Work::Health, Work::Root];

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Read => "read",
            Work::Delete => "delete",
            Work::Health => "health",
            Work::Root => "root",
        }
    }

    fn request(self) -> (&'static str, &'static str) {
        match self {
            Work::Create => ("POST", "/api/v1/sessions"),
            Work::Read => ("GET", "/api/v1/sessions/"),
            Work::Delete => ("DELETE", "/api/v1/sessions/"),
            Work::Health => ("GET", "/health/db"),
            Work::Root => ("GET", "/"),
        }
    }

    /// How many ids the load needs. An id can be deleted once, so there are more than any service here deletes in that
    /// time; a load that runs out of them begins again, and its errors say so.
    pub(crate) fn ids(self, connections: usize, seconds: u64, slow: bool) -> usize {
        let per_second = match (self, connections) {
            (Work::Read, _) => return READ_IDS,
            (Work::Delete, 1) => 15_000,
            (Work::Delete, _) => 60_000,
            _ => return 0,
        };
        per_second * usize::try_from(seconds).unwrap_or(1) / if slow { 10 } else { 1 }
    }
}

/// Existing sessions that are read in turn.
const READ_IDS: usize = 10_000;

/// What is done by how many clients at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) connections: usize,
}

/// What wrk found.
pub(crate) struct Report {
    pub(crate) requests: f64,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) errors: f64,
}

pub(crate) fn is_wrk_installed() -> bool {
    !Command::new("wrk").arg("-v").output().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The name and version that wrk gives itself.
pub(crate) fn wrk_version() -> Outcome<String> {
    let output = Command::new("wrk").arg("-v").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Runs wrk once; its script and the ids are written to the folder.
pub(crate) fn run(folder: &Path, address: SocketAddr, case: Case, seconds: u64, ids: &[String]) -> Outcome<Report> {
    let (script, list) = (folder.join("load.lua"), folder.join("ids"));
    fs::write(&list, ids.join("\n"))?;
    let (method, path) = case.work.request();
    fs::write(&script, if ids.is_empty() { same_script(method) } else { ids_script(method, path, address, &list) })?;
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", "-c"]).arg(case.connections.to_string()).arg(format!("-d{seconds}s"));
    let output = command.arg("-s").arg(&script).arg(format!("http://{address}{path}")).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    Report::read(&text).ok_or_else(|| format!("wrk measured nothing: {text}{words}").into())
}

/// Every request is the same.
fn same_script(method: &str) -> String {
    format!("wrk.method = \"{method}\"\n")
}

/// Every request has the next id. It is put together as one text, which costs wrk less than its own way to do so.
fn ids_script(method: &str, path: &str, address: SocketAddr, list: &Path) -> String {
    format!(
        r#"local ids, last = {{}}, 0
function init()
  for id in io.lines("{list}") do ids[#ids + 1] = id end
end
function request()
  last = last % #ids + 1
  return "{method} {path}" .. ids[last] .. " HTTP/1.1\r\nHost: {address}\r\n\r\n"
end
"#,
        list = list.display()
    )
}

impl Report {
    fn read(report: &str) -> Option<Report> {
        // Of errors it says nothing while there are none.
        let errors = ["Socket errors:", "Non-2xx or 3xx responses:"].map(|name| after(report, name).map_or(0.0, sum));
        Some(Report {
            requests: sum(report.lines().find_map(|line| line.split_once(" requests in "))?.0),
            rate: after(report, "Requests/sec:")?.parse().ok()?,
            p50: milliseconds(after(report, "50%")?)?,
            p99: milliseconds(after(report, "99%")?)?,
            errors: errors.iter().sum(),
        })
    }
}

/// What a line of a report says after the name it begins with. Other lines may have the name in them, as the line
/// `Latency ... 74.50%` has `50%`.
fn after<'a>(report: &'a str, name: &str) -> Option<&'a str> {
    report.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim)
}

/// The sum of all whole numbers in a text.
fn sum(text: &str) -> f64 {
    text.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse::<f64>().ok()).sum()
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}
