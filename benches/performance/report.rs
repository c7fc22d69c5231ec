//! The report: tables in Markdown.

use std::fmt::{self, Write};

use crate::baseline;
use crate::goals::{Goal, absent};
use crate::load;
use crate::results::{Results, Sample};
use crate::settings::Settings;
use crate::support::machine;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;

/// The whole report.
pub(crate) fn render(environment: &str, results: &Results, goals: &[Goal]) -> Outcome<String> {
    let mut text = format!("{environment}\n\n");
    write_cases(&mut text, results)?;
    write_memory(&mut text, results)?;
    write_streams(&mut text, results)?;
    write_ratios(&mut text, results)?;
    writeln!(text, "\n| Goal | Measured | Wanted | |\n|---|--:|---|---|")?;
    for goal in goals {
        let met = if goal.met { "met" } else { "MISSED" };
        writeln!(text, "| {} | {} | {} | {met} |", goal.name, goal.value, goal.wanted)?;
    }
    let absent = absent(results);
    if !absent.is_empty() {
        writeln!(text, "\nNot measured, and their goals left out: {}.", absent.join(", "))?;
    }
    Ok(text)
}

fn write_cases(text: &mut String, results: &Results) -> fmt::Result {
    if results.rows.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "| Service | Work | Connections | Requests/s | p50 ms | p99 ms | Errors | CPU µs/request | PostgreSQL µs/request | MiB | Turns/session |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for row in &results.rows {
        let (service, workload, connections) = (&row.service, row.case.workload.name(), row.case.connections);
        let rate = number(row.median(|sample| Some(sample.rate)), 0);
        let (p50, p99) = (number(row.median(|sample| sample.p50), 3), number(row.median(|sample| sample.p99), 3));
        let processor = number(row.median(|sample| sample.processor), 1);
        let database = number(row.median(|sample| sample.database), 1);
        let (errors, resident) = (row.errors(), number(row.median(|sample| sample.resident), 1));
        let turns = number(row.median(|sample| sample.turns), 1);
        writeln!(
            text,
            "| {service} | {workload} | {connections} | {rate} | {p50} | {p99} | {errors} | {processor} | {database} | {resident} | {turns} |"
        )?;
    }
    Ok(())
}

fn write_memory(text: &mut String, results: &Results) -> fmt::Result {
    if results.memory.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n| Service | Open | Count | MiB before | during | after | Requests/s | p99 ms | Errors |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for row in &results.memory {
        let [before, during, after] = row.resident.map(|resident| number(Some(resident), 1));
        let of_load = |field: fn(&Sample) -> Option<f64>| row.beside.as_ref().and_then(field);
        let rate = number(of_load(|sample| Some(sample.rate)), 0);
        let (p99, errors) = (number(of_load(|sample| sample.p99), 3), number(of_load(|sample| Some(sample.errors)), 0));
        let (service, kind, open) = (&row.service, row.kind, row.open);
        writeln!(text, "| {service} | {kind} | {open} | {before} | {during} | {after} | {rate} | {p99} | {errors} |")?;
    }
    Ok(())
}

fn write_streams(text: &mut String, results: &Results) -> fmt::Result {
    let Some(row) = &results.streams else { return Ok(()) };
    writeln!(
        text,
        "\n| Streams | Pieces/s | First piece, p50 ms | p99 ms | All pieces, p50 ms | p99 ms | Processors |\n\
         |--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let ([first_p50, first_p99], [p50, p99]) = (row.first, row.all);
    let (streams, rate, processors) = (row.streams, row.pieces_per_second, row.processors);
    writeln!(
        text,
        "| {streams} | {rate:.0} | {first_p50:.2} | {first_p99:.2} | {p50:.2} | {p99:.2} | {processors:.2} |"
    )
}

/// The table of ratios; nothing without a baseline.
fn write_ratios(text: &mut String, results: &Results) -> fmt::Result {
    let ratios = baseline::ratios(results);
    if ratios.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n| SafeSpace / baseline | Connections | Requests/s | p50 | p99 | CPU/request |\n|---|--:|--:|--:|--:|--:|"
    )?;
    for ratio in ratios {
        let (workload, connections) = (ratio.row.case.workload.name(), ratio.row.case.connections);
        let rate = number(Some(ratio.rate), 3);
        let [p50, p99, processor] = [ratio.p50, ratio.p99, ratio.processor].map(|value| number(value, 3));
        writeln!(text, "| {workload} | {connections} | {rate} | {p50} | {p99} | {processor} |")?;
    }
    Ok(())
}

/// Machine, versions and rounds. It is read before the rounds, so that an error does not cost a whole run.
pub(crate) fn environment(settings: &Settings, postgres: &Postgres) -> Outcome<String> {
    let (rounds, seconds) = (settings.rounds, settings.seconds);
    Ok(format!(
        "{machine}, {wrk}, `LOG_LEVEL={log_level}`; medians of {rounds} runs of {seconds} s (FastAPI at most 3)",
        machine = machine::describe(&postgres.version()?)?,
        wrk = load::wrk_version()?,
        log_level = settings.log_level,
    ))
}

/// A dash where a value was not measured.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}
