//! The picture at the top of docs/performance.md: requests per second and p99 over the number of clients.

use std::fs;
use std::path::Path;

use crate::contestants::{Contestant, start_all};
use crate::peers::Peer;
use crate::results::{Results, Sample};
use crate::rounds;
use crate::settings::Settings;
use crate::support::chart::{self, Axis, Chart, Line, Panel, Scale, Style, label};
use crate::support::machine;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

const FILE: &str = "docs/performance.svg";

const STYLES: [Style; 5] = [
    Style { name: "SafeSpace", light: "#0550ae", dark: "#79c0ff", dashes: "none", width: 3.0 },
    Style { name: "axum", light: "#bc4c00", dark: "#ffa657", dashes: "8 4", width: 2.0 },
    Style { name: "FastAPI", light: "#116329", dark: "#7ee787", dashes: "2 4", width: 2.0 },
    Style { name: "limit", light: "#6e7781", dark: "#8b949e", dashes: "none", width: 1.2 },
    Style { name: "pgbench", light: "#8250df", dark: "#d2a8ff", dashes: "10 3 2 3", width: 1.2 },
];

const CONNECTIONS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// The works that are drawn, and what a reader calls them.
const WORKS: [(Workload, &str); 2] = [(Workload::Root, "GET /"), (Workload::Create, "Create a session")];

/// A value of a sample, what it is called, and how it is drawn.
type Value = (fn(&Sample) -> Option<f64>, &'static str, fn() -> Scale);

const VALUES: [Value; 2] = [
    (|sample| Some(sample.rate), "requests/s", || Scale::Linear),
    (|sample| sample.p99, "p99 in ms", || Scale::Logarithmic),
];

/// Measures and draws it.
pub(crate) fn draw(settings: &Settings, postgres: &Postgres, peers: &[Peer], stop: &StopSignal) -> Outcome<()> {
    let mut contestants = start_all(settings, postgres, peers, stop)?;
    let cases = rounds::cases(&WORKS.map(|(workload, _)| workload), &CONNECTIONS);
    let mut results = Results::default();
    rounds::run(settings, &mut contestants, &cases, 0, stop, &mut results)?;
    let names: Vec<&str> = contestants.iter().map(Contestant::name).collect();
    let mut panels = Vec::new();
    for (value, unit, scale) in VALUES {
        for (workload, work) in WORKS {
            let line = |name: &&str| {
                let at = |connections: usize| results.median(name, Case { workload, connections }, value);
                let points =
                    CONNECTIONS.into_iter().filter_map(|connections| Some((connections as f64, at(connections)?)));
                Line { name: (*name).to_owned(), points: points.collect() }
            };
            let lines = names.iter().map(line).filter(|line| !line.points.is_empty()).collect();
            panels.push(Panel { title: format!("{work}: {unit}"), scale: scale(), lines });
        }
    }
    let title = "Requests per second and p99 over the number of clients";
    let description = format!("{}. {}", describe(&panels), machine::describe(&postgres.version()?)?);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let chart = Chart { title, description: &description, styles: &STYLES, axis: Axis::Clients, panels: &panels };
    fs::write(path, chart::draw(&chart)?)?;
    eprintln!("The picture is in {FILE}.");
    Ok(())
}

/// The ends of all lines, in words.
fn describe(panels: &[Panel]) -> String {
    let of_line = |line: &Line| {
        let (first, last) = (line.points.first()?, line.points.last()?);
        let [from, to] = [first, last].map(|(clients, value)| format!("{} with {clients}", label(*value)));
        Some(format!("{} {from} and {to}", line.name))
    };
    let of_panel = |panel: &Panel| {
        let lines: Vec<String> = panel.lines.iter().filter_map(of_line).collect();
        format!("{}, by clients: {}", panel.title, lines.join("; "))
    };
    panels.iter().map(of_panel).collect::<Vec<_>>().join(". ")
}
