//! Whether PostgreSQL is kept in order: its version, connections that are left, vacuum, bloat, the age of transactions.

use chrono::NaiveDate;

use super::checks;
use super::facts::{Facts, Table};
use crate::doctor::finding::Report;

/// The last day of support of each major version, as postgresql.org/support/versioning has it (2026-11-26).
const SUPPORT_ENDS: [(i32, (i32, u32, u32)); 7] = [
    (12, (2024, 11, 21)),
    (13, (2025, 11, 13)),
    (14, (2026, 11, 12)),
    (15, (2027, 11, 11)),
    (16, (2028, 11, 9)),
    (17, (2029, 11, 8)),
    (18, (2030, 11, 14)),
];

/// docs/setup.md wants at most a minute between two looks of autovacuum.
const MAX_NAPTIME_S: f64 = 60.0;

/// So many dead rows after so long without a vacuum mean that none comes: autovacuum looks every minute, however few they are.
const MANY_DEAD_ROWS: i64 = 1_000;
const VACUUM_IS_LATE_S: f64 = 600.0;

/// A transaction of this age keeps deleted rows. `pg_dump` of a large database can take as long.
const OLD_TRANSACTION_S: f64 = 600.0;

/// Half of what PostgreSQL has transaction numbers for. Autovacuum acts from 200 million on.
const OLD_NUMBERS: i32 = 1_000_000_000;

/// A table is bloated where its file is larger than this and so many times what its rows need.
const MIN_BLOATED_BYTES: i64 = 16 << 20;
const BLOAT_FACTOR: i64 = 4;

/// Bytes of a row's header and its pointer, with what alignment costs.
const ROW_OVERHEAD: i64 = 32;

/// A server has few connections left below this number.
const FEW_CONNECTIONS: i32 = 5;

/// `opened` is how many connections the service may open.
pub(super) fn judge(facts: &Facts, opened: u32, today: NaiveDate, report: &mut Report) {
    version(facts, today, report);
    let allowed = facts.findings.max_connections;
    if allowed < opened {
        let what = format_args!("PostgreSQL allows {allowed} connections, and the service opens up to {opened}");
        report.find(checks::CONNECTIONS, what);
    }
    let (used, max) = (facts.state.connections, facts.state.max_connections);
    if max - used < FEW_CONNECTIONS {
        report.find(checks::CONNECTIONS_LEFT, format_args!("{used} of {max} connections are used"));
    }
    vacuum(facts, report);
    facts.tables.iter().for_each(|table| bloat(table, report));
}

fn version(facts: &Facts, today: NaiveDate, report: &mut Report) {
    let major = facts.state.version / 10_000;
    let end = SUPPORT_ENDS.iter().find(|(version, _)| *version == major);
    let end = end.and_then(|(_, (year, month, day))| NaiveDate::from_ymd_opt(*year, *month, *day));
    // What is older than the list is out of support too.
    if end.is_some_and(|end| end < today) || major < SUPPORT_ENDS[0].0 {
        let ended = end.map_or(String::new(), |end| format!(", whose support ended on {end}"));
        report.find(checks::VERSION, format_args!("it is PostgreSQL {major}{ended}"));
    }
    report.skip(
        format!("whether PostgreSQL {} is the newest minor version", facts.findings.version),
        "the doctor asks no other machine",
        "compare it with postgresql.org/support/versioning",
    );
}

fn vacuum(facts: &Facts, report: &mut Report) {
    let settings = &facts.settings;
    for name in ["autovacuum", "track_counts"] {
        if settings.is(name, "off") {
            report.find(checks::AUTOVACUUM, format_args!("{name} is off"));
        }
    }
    if let Some(seconds) = settings.number("autovacuum_naptime").filter(|seconds| *seconds > MAX_NAPTIME_S) {
        report.find(checks::AUTOVACUUM_NAPTIME, format_args!("autovacuum_naptime is {seconds} s"));
    }
    for Table { name, dead_rows, vacuumed_s_ago, is_excluded, .. } in &facts.tables {
        if *is_excluded {
            report.find(checks::AUTOVACUUM, format_args!("the table {name} has autovacuum_enabled = off"));
        }
        if *dead_rows >= MANY_DEAD_ROWS && vacuumed_s_ago.is_none_or(|seconds| seconds > VACUUM_IS_LATE_S) {
            let since = vacuumed_s_ago.map_or("never".to_owned(), |seconds| format!("{seconds:.0} s ago"));
            report.find(
                checks::DEAD_ROWS,
                format_args!("the table {name} has {dead_rows} dead rows, and was vacuumed {since}"),
            );
        }
    }
    let state = &facts.state;
    if let Some(seconds) = state.oldest_transaction_s.filter(|seconds| *seconds > OLD_TRANSACTION_S) {
        report.find(checks::OLD_TRANSACTION, format_args!("a transaction began {seconds:.0} s ago"));
    }
    if !state.sees_transactions {
        report.skip(
            "how old the transactions of other roles are",
            "the role may not see them",
            "look at xact_start in pg_stat_activity as a superuser",
        );
    }
    if state.frozen_age > OLD_NUMBERS {
        let millions = state.frozen_age / 1_000_000;
        report.find(checks::FROZEN_AGE, format_args!("the oldest row is {millions} million transactions old"));
    }
}

fn bloat(table: &Table, report: &mut Report) {
    let Table { name, live_rows, bytes, row_width: Some(width), .. } = table else { return };
    let needed = live_rows * (width + ROW_OVERHEAD);
    if *bytes > MIN_BLOATED_BYTES && *bytes > needed * BLOAT_FACTOR {
        let (size, needed) = (bytes >> 20, needed >> 20);
        report.find(
            checks::BLOAT,
            format_args!("the file of the table {name} has {size} MiB, and its rows need about {needed} MiB"),
        );
    }
}
