//! What keeps older states and exact times: commit timestamps, the write-ahead log, archives, replication slots.

use super::checks;
use super::facts::{Facts, Slot};
use crate::doctor::finding::Report;
use crate::store::Disk;

/// From so many sessions on docs/setup.md recommends a compression of the log.
const MANY_SESSIONS: i64 = 1_000_000;

/// The first version that has lz4 for its log.
const HAS_LZ4: i32 = 150_000;

/// `disk` is that of the data folder, where it is on this machine and a reserve is kept.
pub(super) fn judge(facts: &Facts, disk: Option<Disk>, report: &mut Report) {
    let settings = &facts.settings;
    if settings.is("track_commit_timestamp", "on") {
        report.find(checks::COMMIT_TIMESTAMP, "track_commit_timestamp is on");
    }
    if let Some(mode) = settings.get("archive_mode").filter(|mode| *mode != "off") {
        report.find(checks::ARCHIVE, format_args!("archive_mode is {mode}"));
        if facts.state.is_archiving_failing {
            report.find(checks::ARCHIVE_FAILING, "the newest attempt to archive failed");
        }
    }
    slots(&facts.slots, report);
    for name in ["wal_keep_size", "wal_keep_segments"] {
        if let Some(kept) = settings.number(name).filter(|kept| *kept > 0.0) {
            let unit = if name == "wal_keep_size" { " MB" } else { " segments" };
            report.find(checks::WAL_KEEP, format_args!("{name} is {kept}{unit}"));
        }
    }
    if settings.is("wal_level", "logical") && !facts.slots.iter().any(|slot| slot.is_logical) {
        report.find(checks::WAL_LEVEL, "wal_level is logical");
    }
    compression(facts, report);
    max_wal_size(facts, disk, report);
}

fn slots(slots: &[Slot], report: &mut Report) {
    for Slot { name, is_logical, is_active, kept_bytes } in slots {
        if let (false, Some(kept)) = (is_active, kept_bytes) {
            report.find(
                checks::SLOT_INACTIVE,
                format_args!("nobody reads from the replication slot {name}, which keeps {} MiB", kept >> 20),
            );
        }
        if *is_logical {
            report.find(checks::SLOT_LOGICAL, format_args!("the replication slot {name} is a logical one"));
        }
    }
}

fn compression(facts: &Facts, report: &mut Report) {
    let sessions = facts.tables.iter().find(|table| table.name == "sessions").map_or(0, |table| table.live_rows);
    match facts.settings.get("wal_compression") {
        Some(method @ ("on" | "pglz")) => {
            report.find(checks::WAL_COMPRESSION, format_args!("wal_compression is {method}, which is pglz: slow"));
        }
        Some("off") if sessions >= MANY_SESSIONS && facts.state.version >= HAS_LZ4 => {
            report.find(checks::WAL_COMPRESSION, format_args!("wal_compression is off, with {sessions} sessions"));
        }
        _ => {}
    }
}

fn max_wal_size(facts: &Facts, disk: Option<Disk>, report: &mut Report) {
    let bytes = facts.findings.storage.max_wal_bytes;
    match disk {
        Some(Disk { reserve, .. }) if bytes > reserve => {
            let (size, reserve) = (bytes >> 20, reserve >> 20);
            report.find(
                checks::MAX_WAL_SIZE,
                format_args!("max_wal_size is {size} MiB, and the reserve of the disk {reserve} MiB"),
            );
        }
        Some(_) => {}
        None => report.skip(
            "whether PostgreSQL's log fits on its disk",
            "that disk is not measured: it is on another machine, its folder is not told, or STORAGE_RESERVE is 0",
            format!("compare max_wal_size, {} MiB, with what is free there", bytes >> 20),
        ),
    }
}
