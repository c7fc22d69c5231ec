//! The quick comparison: ratios that hold between machines, beside the last ones that were written down.
//!
//! SafeSpace is compared with pgbench, which sends its statements without a service, and with the limit of an HTTP server, in the same
//! alternating rounds. A ratio that fell is measured again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::contestants::{Contestant, start_all};
use crate::limit;
use crate::pgbench;
use crate::report::number;
use crate::results::{Results, Sample};
use crate::rounds;
use crate::services::SAFESPACE;
use crate::settings::Settings;
use crate::support::machine;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
use crate::support::stop::StopSignal;
use crate::verdict::{Verdict, has_fallen, judge};
use crate::workload::{Case, Workload};

/// The file of the last ratios, below the repository's root.
const LAST: &str = "benches/performance/last.toml";

const ROOT: [Case; 2] =
    [Case { workload: Workload::Root, connections: 1 }, Case { workload: Workload::Root, connections: 128 }];

/// Numbers of connections of requests with one statement.
const CONNECTIONS: [usize; 2] = [1, 128];

/// A ratio of which more is better.
struct Figure {
    name: String,
    /// What it is measured with.
    cases: [Case; 2],
    value: fn([Case; 2], &Results) -> Option<f64>,
}

/// Compares, prints the table, and returns whether no ratio fell twice. `save` writes the ratios down.
pub(crate) fn compare(settings: &Settings, postgres: &Postgres, save: bool, stop: &StopSignal) -> Outcome<bool> {
    let last = read_last()?;
    let mut contestants = start_all(settings, postgres, &[], stop)?;
    let figures = figures();
    let mut measure = |figures: &[&Figure]| measure(settings, &mut contestants, figures, stop);
    let first = measure(&figures.iter().collect::<Vec<_>>())?;
    let fell = |figure: &&Figure| match (last.get(&figure.name), first.get(&figure.name)) {
        (Some(&last), Some(&now)) => has_fallen(last, now),
        _ => false,
    };
    let fallen: Vec<&Figure> = figures.iter().filter(fell).collect();
    let second = if fallen.is_empty() || save { BTreeMap::new() } else { measure(&fallen)? };
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
    println!("{table}");
    Ok(is_kept || save)
}

fn figures() -> Vec<Figure> {
    let works = [Workload::Create, Workload::Read, Workload::Delete, Workload::Health];
    let statements = rounds::cases(&works, &CONNECTIONS).into_iter().map(|case| (case, case));
    let create = |connections| Case { workload: Workload::Create, connections };
    let chat = |connections| Case { workload: Workload::Chat, connections };
    let chats = [(chat(1), create(1)), (chat(64), create(128))];
    let mut figures = Vec::new();
    for case in ROOT {
        let name = format!("{}: requests/s / limit's", case.title());
        figures.push(Figure { name, cases: [case, case], value: rate_to_limit });
    }
    for (case, reference) in statements.chain(chats) {
        let of = if reference == case { String::new() } else { format!(" {}", reference.title()) };
        let name = format!("{}: requests/s / pgbench's{of}", case.title());
        figures.push(Figure { name, cases: [case, reference], value: rate_to_pgbench });
    }
    let loads: Vec<Case> = figures.iter().map(|figure| figure.cases[0]).collect();
    for case in loads {
        let root = ROOT[usize::from(case.connections > 1)];
        let name = format!("{}: processor time of limit's {} / ours", case.title(), root.title());
        figures.push(Figure { name, cases: [case, root], value: limit_processor });
    }
    figures
}

fn rate_to_limit([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((SAFESPACE, case), (limit::NAME, reference), |sample| Some(sample.rate))
}

fn rate_to_pgbench([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((SAFESPACE, case), (pgbench::NAME, reference), |sample| Some(sample.rate))
}

fn limit_processor([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((limit::NAME, reference), (SAFESPACE, case), |sample: &Sample| sample.processor)
}

/// Runs what the figures need, each case once in a round.
fn measure(
    settings: &Settings,
    contestants: &mut [Contestant],
    figures: &[&Figure],
    stop: &StopSignal,
) -> Outcome<BTreeMap<String, f64>> {
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
