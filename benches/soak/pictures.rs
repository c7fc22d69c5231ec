//! The pictures of docs/soak.md: each series over time, with the kills.

use std::fs;
use std::path::Path;

use crate::samples::{SERIES, Sample};
use crate::service::Companion;
use crate::shared::Victim;
use crate::support::chart::{self, Axis, Chart, Line, Mark, Panel, Scale, Style};
use crate::support::outcome::Outcome;

/// Of the service and of PostgreSQL.
pub(crate) const FILES: [&str; 2] = ["docs/soak-service.svg", "docs/soak-postgres.svg"];

const POSTGRES: &str = "PostgreSQL";
const SERVICE_KILLED: &str = "service killed";
const POSTGRES_KILLED: &str = "PostgreSQL killed";

const STYLES: [Style; 5] = [
    Style { name: "script", light: "#0550ae", dark: "#79c0ff", dashes: "none", width: 1.8 },
    Style { name: "model", light: "#bc4c00", dark: "#ffa657", dashes: "none", width: 1.8 },
    Style { name: POSTGRES, light: "#116329", dark: "#7ee787", dashes: "none", width: 1.8 },
    Style { name: SERVICE_KILLED, light: "#6e7781", dark: "#8b949e", dashes: "none", width: 0.8 },
    Style { name: POSTGRES_KILLED, light: "#8250df", dark: "#d2a8ff", dashes: "2 3", width: 0.8 },
];

/// Draws and writes both. `machine`: what the figures depend on.
pub(crate) fn draw(machine: &str, minutes: f64, samples: &[Sample], kills: &[(f64, Victim)]) -> Outcome<()> {
    let of_service = SERIES.iter().enumerate().filter(|(_, series)| series.is_of_service);
    let mut service: Vec<Panel> =
        of_service.map(|(index, series)| by_companion(series.name, samples, |sample| sample.values[index])).collect();
    for (index, title) in
        ["answers to people per second", "refused or without an answer, per second"].into_iter().enumerate()
    {
        service.push(rate(title, samples, index));
    }
    let of_postgres = SERIES.iter().enumerate().filter(|(_, series)| !series.is_of_service);
    let postgres: Vec<Panel> = of_postgres
        .map(|(index, series)| {
            let points = samples.iter().map(|sample| (sample.minute, sample.values[index])).collect();
            panel(series.name, vec![Line { name: POSTGRES.to_owned(), points }])
        })
        .collect();
    for (file, title, panels) in
        [(FILES[0], "The service over time", service), (FILES[1], "PostgreSQL over time", postgres)]
    {
        let marks = kills.iter().map(|&(minute, victim)| {
            let name = if victim == Victim::Service { SERVICE_KILLED } else { POSTGRES_KILLED };
            Mark { minute, name }
        });
        let axis = Axis::Minutes { end: minutes, marks: marks.collect() };
        let description = format!("{}. {machine}", describe(&panels));
        let chart = Chart { title, description: &description, styles: &STYLES, axis, panels: &panels };
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), chart::draw(&chart)?)?;
        eprintln!("A picture is in {file}.");
    }
    Ok(())
}

fn panel(title: &str, lines: Vec<Line>) -> Panel {
    Panel { title: title.to_owned(), scale: Scale::Linear, lines }
}

/// A line for each companion, interrupted while the other one answers.
fn by_companion(title: &str, samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Panel {
    let line = |companion: Companion| {
        let value = |sample: &Sample| if sample.companion == companion { value(sample) } else { f64::NAN };
        let points = samples.iter().map(|sample| (sample.minute, value(sample))).collect();
        Line { name: companion.name().to_owned(), points }
    };
    panel(title, vec![line(Companion::Script), line(Companion::Model)])
}

/// How many of one of the two counts of requests came in each second between two samples.
fn rate(title: &str, samples: &[Sample], count: usize) -> Panel {
    let between = samples.windows(2).map(|pair| {
        let seconds = (pair[1].minute - pair[0].minute) * 60.0;
        let came = pair[1].requests[count].saturating_sub(pair[0].requests[count]);
        let values = [came as f64 / seconds; SERIES.len()];
        Sample { minute: pair[1].minute, companion: pair[1].companion, values, requests: pair[1].requests }
    });
    by_companion(title, &between.collect::<Vec<_>>(), |sample| sample.values[0])
}

/// The ends and the highest value of all lines, in words.
fn describe(panels: &[Panel]) -> String {
    let of_line = |line: &Line| {
        let values = || line.points.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
        let ends = [values().next()?, values().next_back()?, values().fold(0.0, f64::max)];
        let [first, last, highest] = ends.map(|value| format!("{value:.1}"));
        Some(format!("{} from {first} to {last}, at most {highest}", line.name))
    };
    let of_panel = |panel: &Panel| {
        let lines: Vec<String> = panel.lines.iter().filter_map(of_line).collect();
        format!("{}: {}", panel.title, lines.join("; "))
    };
    panels.iter().map(of_panel).collect::<Vec<_>>().join(". ")
}
