//! The report: one table in Markdown.

use std::fmt::Write;

use crate::run::{Measured, REST};
use crate::support::machine;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
use crate::victims::Experience;

const LEGEND: &str = "\
- Limits: with `default`, the addresses of loopback do not tell clients apart, as behind a Tor service. `by address` is `RATE_LIMIT_BY_ADDRESS=on`: the attackers are in one network, the victims in others. `off` is `RATE_LIMIT=off`.
- MiB of sockets: the kernel's memory for all TCP connections of the machine at the peak (`mem` in `/proc/net/sockstat`), those of attackers and victims included.
- Goals: 95 % of the victims are answered, and all of `DELETE` and health; where the attackers have more sessions than the companion has room for (`slow-answers`, `letters-2000`), messages have a goal only `by address`, since with `default` each session counts as a client. At most 40 MiB of memory stay.";

pub(crate) fn render(postgres: &Postgres, rows: &[Measured]) -> Outcome<String> {
    let machine = machine::describe(&postgres.version()?)?;
    let rest = REST.as_secs();
    let mut text = format!("{machine}; memory after: {rest} s after the attack\n\n");
    writeln!(
        text,
        "| Attack | Limits | Victims' success | p50 / p99 ms | MiB before / peak / after | MiB of sockets | Attackers' requests, with 2xx | Stored / WAL MiB/s | Goals |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        writeln!(text, "{}", line(row))?;
    }
    writeln!(text, "\n{LEGEND}")?;
    for row in rows.iter().filter(|row| row.limits == row.attack.limits[0]) {
        writeln!(text, "- `{}`: {}", row.attack.name, row.attack.what)?;
    }
    Ok(text)
}

/// The line of one attack. The victims of each kind are separated by semicolons.
pub(crate) fn line(row: &Measured) -> String {
    let of_each = |cell: fn(&Experience) -> String| row.experiences.iter().map(cell).collect::<Vec<_>>().join("; ");
    let success = of_each(|experience| {
        let (answered, requests) = (experience.answered.len(), experience.requests());
        format!("{} {answered} of {requests} ({:.1} %)", experience.victims.act.name(), 100.0 * experience.share())
    });
    let latencies = of_each(|experience| {
        let [p50, p99] = [50.0, 99.0].map(|percent| experience.percentile_ms(percent));
        let text = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        format!("{} / {}", text(p50), text(p99))
    });
    let [before, peak, after] = row.resident.map(|resident| format!("{resident:.0}"));
    let (requests, accepted) = (row.attackers.requests, row.attackers.accepted);
    let (sockets, [stored, logged]) = (row.socket_memory, row.written);
    let missed = row.missed();
    let goals = if missed.is_empty() { "met".to_owned() } else { format!("MISSED: {}", missed.join(", ")) };
    format!(
        "| {} | {} | {success} | {latencies} | {before} / {peak} / {after} | {sockets:.0} | {requests}, {accepted} | {stored:.1} / {logged:.1} | {goals} |",
        row.attack.name,
        row.limits.name(),
    )
}

/// What the victims met instead of their answers.
pub(crate) fn failures(row: &Measured) -> String {
    let of = |experience: &Experience| {
        let act = experience.victims.act.name();
        experience
            .failures
            .iter()
            .map(|(failure, count)| format!("  {act}, {count} times: {failure}\n"))
            .collect::<String>()
    };
    row.experiences.iter().map(of).collect()
}
