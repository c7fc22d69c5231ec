//! The tables of what was measured, printed and kept in the documentation.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use chrono::Utc;

use crate::Outcome;
use crate::database::Postgres;
use crate::goals::{Goal, absent};
use crate::load;
use crate::results::Results;
use crate::settings::Settings;

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// All that was measured, as Markdown.
pub(crate) fn write(circumstances: &str, results: &Results, goals: &[Goal]) -> Outcome<String> {
    let mut text = format!(
        "{circumstances}

"
    );
    writeln!(
        text,
        "| Service | Work | Connections | Requests/s | p50 ms | p99 ms | Errors | CPU µs/request | MiB | Turns/session |"
    )?;
    writeln!(text, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for row in &results.rows {
        let (service, work, connections) = (&row.service, row.case.work.name(), row.case.connections);
        let rate = shown(row.median(|sample| Some(sample.rate)), 0);
        let (p50, p99) = (shown(row.median(|sample| sample.p50), 3), shown(row.median(|sample| sample.p99), 3));
        let processor = shown(row.median(|sample| sample.processor), 1);
        let (errors, resident) = (row.errors(), shown(row.median(|sample| sample.resident), 1));
        let turns = shown(row.median(|sample| sample.turns), 1);
        writeln!(
            text,
            "| {service} | {work} | {connections} | {rate} | {p50} | {p99} | {errors} | {processor} | {resident} | {turns} |"
        )?;
    }
    writeln!(text, "\n| Goal | Measured | Wanted | |\n|---|--:|---|---|")?;
    for goal in goals {
        let met = if goal.met { "met" } else { "MISSED" };
        writeln!(text, "| {} | {} | {} | {met} |", goal.name, goal.value, goal.wanted)?;
    }
    let absent = absent(results);
    if !absent.is_empty() {
        writeln!(text, "\nNot measured, and its goals left out: {}.", absent.join(", "))?;
    }
    Ok(text)
}

/// Puts the report between the markers of the document, and leaves what is around them.
pub(crate) fn keep(report: &str) -> Outcome<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let before = fs::read_to_string(&path)?;
    let around = before.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = match around {
        Some((head, tail)) => (head.to_owned(), tail),
        None => (format!("{}\n\n", before.trim_end()), "\n"),
    };
    fs::write(&path, format!("{head}{BEGIN}\n\n{}\n\n{END}{tail}", report.trim()))?;
    eprintln!("{DOCUMENT} has these tables now.");
    Ok(())
}

/// When, on what and how it is measured; asked first, since it would be late to find out at the end what is not to be had.
pub(crate) fn circumstances(settings: &Settings, postgres: &Postgres) -> Outcome<String> {
    let processors = thread::available_parallelism()?;
    let (rounds, seconds) = (settings.rounds, settings.seconds);
    Ok(format!(
        "{date} UTC, {processors} processors ({model}), PostgreSQL {postgres}, {rustc}, {wrk}, safespace {ours}; medians of \
         {rounds} runs of {seconds} s (FastAPI at most 3)",
        date = Utc::now().format("%Y-%m-%d %H:%M"),
        model = processor_model(),
        postgres = postgres.version()?,
        rustc = rustc_version()?,
        wrk = load::wrk_version()?,
        ours = env!("CARGO_PKG_VERSION"),
    ))
}

fn processor_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or("of an unknown model", |(_, model)| model).to_owned()
}

fn rustc_version() -> Outcome<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// A value that was not measured is a dash.
fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}
