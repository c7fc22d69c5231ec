//! The report: what was sent, which promises were checked, and what stayed flat, as tables in Markdown.

use std::fmt::Write;

use crate::judgement::Judged;
use crate::promises::{PROMISES, Promises};
use crate::shared::{Shared, Victim};
use crate::support::outcome::Outcome;

/// `head` says when and on what it ran, and for how long.
pub(crate) fn render(head: &str, shared: &Shared, judged: &[Judged]) -> Outcome<String> {
    let mut text = format!("{head}\n\n");
    let killed = |of: Victim| shared.kills().iter().filter(|(_, victim)| *victim == of).count();
    writeln!(
        text,
        "The service was killed {} times, PostgreSQL's first process {} times, one of its others {} times.\n",
        killed(Victim::Service),
        killed(Victim::Postmaster),
        killed(Victim::Backend)
    )?;
    write_promises(&mut text, &shared.promises)?;
    writeln!(text, "\n| Series | | Second quarter | Last quarter | At most | |\n|---|---|--:|--:|--:|---|")?;
    for judged in judged {
        let values = match judged.flatness {
            None => "– | – | – | too few samples".to_owned(),
            Some(flatness) => format!(
                "{:.1} | {:.1} | {:.1} | {}",
                flatness.second_quarter,
                flatness.last_quarter,
                judged.limit,
                if flatness.is_flat { "flat" } else { "GROWS" }
            ),
        };
        writeln!(text, "| {} | {} | {values} |", judged.series, judged.of)?;
    }
    writeln!(
        text,
        "\n| Request | Sent | Refused | No answer | p50 ms | p99 ms | Longest ms |\n|---|--:|--:|--:|--:|--:|--:|"
    )?;
    for (kind, mut tally) in shared.tallies.all() {
        let [p50, p99, longest] = [50.0, 99.0, 100.0]
            .map(|percent| tally.percentile_ms(percent).map_or("–".to_owned(), |value| format!("{value:.1}")));
        let (sent, refused, lost) = (tally.requests(), tally.refused, tally.lost);
        writeln!(text, "| {} | {sent} | {refused} | {lost} | {p50} | {p99} | {longest} |", kind.name())?;
    }
    Ok(text)
}

fn write_promises(text: &mut String, promises: &Promises) -> std::fmt::Result {
    writeln!(text, "| Promise | Checks | Broken |\n|---|--:|---|")?;
    for promise in PROMISES {
        let findings = promises.of(promise);
        let broken: Vec<String> = findings.faults.iter().map(|(fault, count)| format!("{fault}: {count}")).collect();
        let broken = if broken.is_empty() { "never".to_owned() } else { broken.join("; ") };
        writeln!(text, "| {} | {} | {broken} |", promise.text(), findings.checks)?;
    }
    Ok(())
}
