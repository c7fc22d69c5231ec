//! The quick comparison: ratios that hold between machines, beside the last ones that were written down.
//!
//! SafeSpace is compared with pgbench, which sends its statements without a service, and with the limit of an HTTP server, in the same
//! alternating rounds. A ratio that fell is measured again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

/// The file of the last ratios, below the repository's root.
const LAST: &str = "benches/performance/last.toml";

/// The whole comparison takes less than three minutes.
const MAX_TIME: Duration = Duration::from_secs(165);

/// Above this, the ratios tell more about the other programs than about the service.
const MAX_BUSY_PROCESSORS: f64 = 0.3;

/// Compares, prints the table, and returns whether no ratio fell twice. `save` writes the ratios down.
pub(crate) fn compare(settings: &Settings, postgres: &Postgres, save: bool, stop: &StopSignal) -> Outcome<bool> {
    let began = Instant::now();
    let busy = busy::processors()?;
    let last = read_last()?;
    let mut contestants = start_all(settings, postgres, &[], stop)?;
    let figures = figures::all();
    let all: Vec<&Figure> = figures.iter().collect();
    let first = measure(settings, &mut contestants, &all, stop)?;
    let fell = |figure: &&Figure| match (last.get(&figure.name), first.get(&figure.name)) {
        (Some(&last), Some(&now)) => has_fallen(last, now),
        _ => false,
    };
    let fallen: Vec<&Figure> = figures.iter().filter(fell).collect();
    let second = if fallen.is_empty() || save {
        BTreeMap::new()
    } else {
        let share = cases_of(&fallen).len() as f64 / cases_of(&all).len() as f64;
        let rounds = rounds_left(settings.rounds, began.elapsed(), share);
        measure(&Settings { rounds, ..settings.clone() }, &mut contestants, &fallen, stop)?
    };
    let machine = machine::describe(postgres)?;
    if save {
        write_last(&machine, &first)?;
    }
    let mut table = format!("{machine}\n\n| Ratio | Last | Now | Again | Now / last | |\n|---|--:|--:|--:|--:|---|\n");
    let mut is_kept = true;
    let gone = last.keys().filter(|name| !first.contains_key(*name));
    for name in figures.iter().map(|figure| &figure.name).filter(|name| first.contains_key(*name)).chain(gone) {
        let values = [&last, &first, &second].map(|ratios| ratios.get(name).copied());
        let [before, now, again] = values;
        let verdict = judge(before, now, again);
        is_kept &= !verdict.is_failure();
        let [before_text, now_text, again_text] = values.map(|value| number(value, 3));
        let change = number(again.or(now).zip(before).map(|(now, before)| now / before), 2);
        let word = word(&verdict);
        writeln!(table, "| {name} | {before_text} | {now_text} | {again_text} | {change} | {word} |")?;
    }
    if busy > MAX_BUSY_PROCESSORS {
        writeln!(
            table,
            "\nOther programs kept {busy:.1} processors busy, so ratios may be wrong. Repeat it on an idle machine."
        )?;
    }
    println!("{table}");
    Ok(is_kept || save)
}

/// What the figures need, each case once.
fn cases_of(figures: &[&Figure]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for case in figures.iter().flat_map(|figure| figure.cases) {
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    cases
}

/// The rounds for a share of the cases that end in time, if those for all took `spent`; at least one.
fn rounds_left(rounds: usize, spent: Duration, share: f64) -> usize {
    let of_round = spent.as_secs_f64() / rounds as f64 * share;
    let left = MAX_TIME.saturating_sub(spent).as_secs_f64();
    ((left / of_round) as usize).clamp(1, rounds)
}

fn measure(
    settings: &Settings,
    contestants: &mut [Contestant],
    figures: &[&Figure],
    stop: &StopSignal,
) -> Outcome<BTreeMap<String, f64>> {
    let mut results = Results::default();
    rounds::run(settings, contestants, &cases_of(figures), 0, stop, &mut results)?;
    if let Some(row) = results.rows_of(SAFESPACE).find(|row| row.errors() > 0.0) {
        return Err(format!("{}: {} errors", row.case.title(), row.errors()).into());
    }
    let ratio = |figure: &&Figure| Some((figure.name.clone(), (figure.value)(figure.cases, &results)?));
    Ok(figures.iter().filter_map(ratio).collect())
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(LAST)
}

/// Nothing where none were written down.
fn read_last() -> Outcome<BTreeMap<String, f64>> {
    if !path().exists() {
        return Ok(BTreeMap::new());
    }
    Ok(toml::from_str(&fs::read_to_string(path())?).map_err(|error| format!("{LAST}: {error}"))?)
}

fn write_last(machine: &str, ratios: &BTreeMap<String, f64>) -> Outcome<()> {
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
