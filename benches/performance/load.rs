//! The load: wrk's scripts, and the values in its report.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use safespace::session_id::SessionId;

use crate::support::outcome::Outcome;
use crate::workload::{Case, Request};

/// The values of wrk's report; latencies in milliseconds.
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

/// The name and version that wrk prints.
pub(crate) fn wrk_version() -> Outcome<String> {
    let output = Command::new("wrk").arg("-v").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Runs wrk once. Its script and the ids are files in the folder.
pub(crate) fn run(folder: &Path, address: SocketAddr, case: Case, seconds: u64, ids: &[SessionId]) -> Outcome<Report> {
    let (script, list) = (folder.join("load.lua"), folder.join("ids"));
    fs::write(&list, ids.iter().map(|id| format!("{}\n", id.expose())).collect::<String>())?;
    let request = case.workload.request();
    let path = request.path[0];
    fs::write(&script, if ids.is_empty() { constant_script(&request) } else { ids_script(&request, address, &list) })?;
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", "-c"]).arg(case.connections.to_string()).arg(format!("-d{seconds}s"));
    let output = command.arg("-s").arg(&script).arg(format!("http://{address}{path}")).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    Report::read(&text).ok_or_else(|| format!("wrk printed no result: {text}{errors}").into())
}

/// Every request is the same.
fn constant_script(request: &Request) -> String {
    format!("wrk.method = \"{}\"\n", request.method)
}

/// Every request has the next id. Concatenating the text costs wrk less than `wrk.format`.
fn ids_script(request: &Request, address: SocketAddr, list: &Path) -> String {
    let Request { method, path: [before, after], fields, body, expected } = request;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    // Rust's `Debug` writes these strings as Lua literals.
    let begin = format!("{method} {before}");
    let end = format!("{after} HTTP/1.1\r\nHost: {address}\r\n{fields}{length}\r\n{body}");
    let choice = expected
        .map_or(ROUND_ROBIN.to_owned(), |expected| format!("local expected = {expected:?}\n{ONE_CONNECTION_PER_ID}"));
    let list = list.display();
    format!(
        r#"local ids, last = {{}}, 0
function init()
  for id in io.lines("{list}") do ids[#ids + 1] = id end
  prepare()
end
{choice}
function request()
  return {begin:?} .. next_id() .. {end:?}
end
"#
    )
}

/// Takes the ids round-robin.
const ROUND_ROBIN: &str = "
function prepare() end
function next_id()
  last = last % #ids + 1
  return ids[last]
end
";

/// Uses each id on one connection at a time: the response, which contains the id, puts it back at the end of the queue.
const ONE_CONNECTION_PER_ID: &str = r#"
local first, worker = 1
incomplete = 0
function setup(thread) worker = thread end
function prepare() last = #ids end
function next_id()
  local id = ids[first]
  ids[first], first = nil, first + 1
  return id or "none-is-left"
end
function response(status, _, body)
  if status == 200 and not body:find(expected, 1, true) then incomplete = incomplete + 1 end
  local id = body:match('"session_id":"([%x-]+)"')
  if id then last = last + 1; ids[last] = id end
end
function done() io.write("Incomplete answers: ", worker:get("incomplete"), "\n") end
"#;

impl Report {
    fn read(report: &str) -> Option<Report> {
        // wrk leaves these lines out while there are no errors.
        let errors = ["Socket errors:", "Non-2xx or 3xx responses:", "Incomplete answers:"];
        let errors = errors.map(|name| after(report, name).map_or(0.0, sum));
        Some(Report {
            requests: sum(report.lines().find_map(|line| line.split_once(" requests in "))?.0),
            rate: after(report, "Requests/sec:")?.parse().ok()?,
            p50: milliseconds(after(report, "50%")?)?,
            p99: milliseconds(after(report, "99%")?)?,
            errors: errors.iter().sum(),
        })
    }
}

/// The rest of the line that starts with this label. Other lines may contain it: `Latency ... 74.50%` contains `50%`.
fn after<'a>(report: &'a str, name: &str) -> Option<&'a str> {
    report.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim)
}

/// The sum of all whole numbers in a text.
fn sum(text: &str) -> f64 {
    text.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse::<f64>().ok()).sum()
}

/// A duration as wrk prints it.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}
