//! The quick comparison: ratios that hold between machines, beside the last ones that were written down.
//!
//! SafeSpace is compared with pgbench, which sends its statements without a service, and with the limit of an HTTP server, in the same
//! alternating rounds. A ratio that fell is measured again.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::busy;
use crate::contestants::{Contestant, start_all};
use crate::figures::{self, Figure};
use crate::report::number;
use crate::results::Results;
use crate::rounds;
use crate::services::SAFESPACE;
use crate::settings::Settings;
use crate::support::machine;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
use crate::support::stop::StopSignal;
use crate::verdict::{Verdict, has_fallen, judge};
use crate::workload::Case;

/// Ratios by their names.
type Ratios = BTreeMap<String, f64>;

/// The file of the last ratios, below the repository's root.
const LAST: &str = "benches/performance/last.toml";

/// No round begins after this time of the first and of the second measurement, so that both take less than three minutes.
const MAX_TIMES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(30)];

/// Above this, the ratios tell more about the other programs than about the service.
const MAX_BUSY_PROCESSORS: f64 = 0.3;

/// Compares, prints the table, and returns whether no ratio fell twice. `save` writes the ratios down.
pub(crate) fn compare(settings: &Settings, postgres: &Postgres, save: bool, stop: &StopSignal) -> Outcome<bool> {
    let busy = busy::processors()?;
    let last = if save { Ratios::new() } else { read_last()? };
    let mut contestants = start_all(settings, postgres, &[], stop)?;
    let figures = figures::all();
    let all: Vec<&Figure> = figures.iter().collect();
    let [first_settings, second_settings] =
        MAX_TIMES.map(|max_time| Settings { max_time: Some(max_time), ..settings.clone() });
    let first = measure(&first_settings, &mut contestants, &all, stop)?;
    let fell = |figure: &&Figure| match (last.get(&figure.name), first.get(&figure.name)) {
        (Some(&last), Some(&now)) => has_fallen(last, now),
        (Some(_), None) => true,
        (None, _) => false,
    };
    let fallen: Vec<&Figure> = figures.iter().filter(fell).collect();
    let second = if fallen.is_empty() || save {
        Ratios::new()
    } else {
        measure(&second_settings, &mut contestants, &fallen, stop)?
    };
    let machine = machine::describe(&postgres.version()?)?;
    let measured = figures.iter().map(|figure| &figure.name).filter(|name| first.contains_key(*name));
    let gone = last.keys().filter(|name| !first.contains_key(*name));
    let names: Vec<&String> = measured.chain(gone).collect();
    println!("{machine}\n\n{}", table(&names, [&last, &first, &second])?);
    if busy > MAX_BUSY_PROCESSORS {
        println!(
            "Other programs kept {busy:.1} processors busy, so ratios may be wrong. Repeat it on an idle machine."
        );
    }
    if save && busy > MAX_BUSY_PROCESSORS {
        return Err("ratios of a busy machine are not written down".into());
    }
    if save {
        write_last(&machine, &first)?;
        return Ok(true);
    }
    let values = |name: &str| [&last, &first, &second].map(|ratios| ratios.get(name).copied());
    Ok(!names.iter().any(|name| judge(values(name)).is_failure()))
}

/// Runs what the figures need, each case once in a round.
fn measure(
    settings: &Settings,
    contestants: &mut [Contestant],
    figures: &[&Figure],
    stop: &StopSignal,
) -> Outcome<Ratios> {
    let mut cases: Vec<Case> = Vec::new();
    for case in figures.iter().flat_map(|figure| figure.cases) {
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    let mut results = Results::default();
    rounds::run(settings, contestants, &cases, 0, stop, &mut results)?;
    if let Some(row) = results.rows_of(SAFESPACE).find(|row| row.errors() > 0.0) {
        return Err(format!("{}: {} errors", row.case.title(), row.errors()).into());
    }
    let ratio = |figure: &&Figure| Some((figure.name.clone(), (figure.value)(figure.cases, &results)?));
    Ok(figures.iter().filter_map(ratio).collect())
}

/// The last ratios, and those of both measurements.
fn table(names: &[&String], ratios: [&Ratios; 3]) -> Result<String, fmt::Error> {
    let mut table = "| Ratio | Last | Now | Again | Now / last | |\n|---|--:|--:|--:|--:|---|\n".to_owned();
    for name in names {
        let values = ratios.map(|ratios| ratios.get(*name).copied());
        let [last, now, again] = values.map(|value| number(value, 3));
        let change = number(values[2].or(values[1]).zip(values[0]).map(|(now, last)| now / last), 2);
        let word = word(&judge(values));
        writeln!(table, "| {name} | {last} | {now} | {again} | {change} | {word} |")?;
    }
    Ok(table)
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(LAST)
}

fn read_last() -> Outcome<Ratios> {
    if !path().exists() {
        return Err(format!("there is no {LAST} to compare with; write it with --quick --save").into());
    }
    Ok(toml::from_str(&fs::read_to_string(path())?).map_err(|error| format!("{LAST}: {error}"))?)
}

fn write_last(machine: &str, ratios: &Ratios) -> Outcome<()> {
    let mut text = format!("# Written by `cargo bench --bench performance -- --quick --save`.\n# {machine}\n\n");
    for (name, ratio) in ratios {
        writeln!(text, "{name:?} = {ratio:.4}")?;
    }
    fs::write(path(), text)?;
    eprintln!("The ratios are in {LAST}.");
    Ok(())
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Recovered => "kept the second time",
        Verdict::Fell => "FELL",
        Verdict::New => "new: write it down with --save",
        Verdict::Gone => "GONE: write the others down with --save",
    }
}
