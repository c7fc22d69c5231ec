//! The machine of the service: swap, core dumps, limits, files, clock. Only Linux shows most of it.
//!
//! - `swap`, `process`: what `/proc` and `/sys` say, from a folder that a test can replace; `files`: modes and owners.

mod checks;
mod files;
mod proc_files;
mod process;
mod swap;

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::path::Path;

use chrono::TimeDelta;
use nix::unistd::geteuid;

use super::finding::Report;
use crate::config::VARIABLES;
pub(super) use checks::ALL;
pub(super) use files::{Files, judge_data_folder};
pub(super) use process::{Process, find as find_process};

/// The clocks of the service and of PostgreSQL: half of what docs/privacy.md allows.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(5);

/// A limit on core files at which Linux hands no dump to a program: it is that of such programs themselves.
const NEVER_PIPED: u64 = 1;

/// Variables that may differ: the process was found by its socket.
const FOUND_BY: [&str; 2] = ["APP_HOST", "APP_PORT"];

/// What the configuration says of the machine.
pub(super) struct Expected {
    pub(super) port: u16,
    pub(super) is_production: bool,
    /// Descriptors that the service needs with all its connections.
    pub(super) descriptors: usize,
    pub(super) files: Files,
}

/// Looks at the machine whose file system begins at `root`.
pub(super) fn examine(root: &Path, expected: &Expected) -> Report {
    let mut report = Report::default();
    let process = match find_process(root, expected.port) {
        _ if !root.join("proc/self").exists() => Err("only Linux has /proc".to_owned()),
        found => found,
    };
    judge_swap(root, process.as_ref().ok(), &mut report);
    match &process {
        Ok(process) => {
            judge_core_dumps(root, process, &mut report);
            judge_process(process, expected, &mut report);
        }
        Err(reason) => report.skip(
            "core dumps, the limits, the user and the settings of the running service",
            reason,
            "run the doctor as root on the service's machine while it runs",
        ),
    }
    let user = process.map_or_else(|_| geteuid().as_raw(), |process| process.user);
    files::judge(&expected.files, user, &mut report);
    report
}

/// The difference between PostgreSQL's clock and that of this machine.
pub(super) fn judge_clock(ahead: TimeDelta, report: &mut Report) {
    if ahead.abs() > MAX_CLOCK_DIFFERENCE {
        let direction = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
        let seconds = ahead.abs().num_seconds();
        report.find(checks::CLOCK, format_args!("PostgreSQL's clock is {seconds} s {direction} that of this machine"));
    }
}

fn judge_swap(root: &Path, process: Option<&Process>, report: &mut Report) {
    // PostgreSQL has only sealed bytes in its memory, but a proxy and a model have ids and texts.
    let is_kept_out = process.is_some_and(|process| !process.may_swap);
    let check = if is_kept_out { checks::SWAP_OF_OTHERS } else { checks::SWAP };
    match swap::areas(root) {
        Ok(areas) => {
            for area in areas.into_iter().filter(|area| !area.is_safe) {
                report.find(check, format_args!("there is swap on {}, and it is not known to be encrypted", area.name));
            }
        }
        Err(error) => report.skip("swap", error, "ask the system for its swap, and whether it is encrypted"),
    }
}

fn judge_core_dumps(root: &Path, process: &Process, report: &mut Report) {
    if process.is_dumpable == Some(false) {
        return;
    }
    let Ok(pattern) = proc_files::read(&root.join("proc/sys/kernel/core_pattern")) else { return };
    match (pattern.trim().strip_prefix('|'), process.core_limit) {
        (None, Some(0)) | (_, Some(NEVER_PIPED)) => {}
        (None, limit) => {
            let limit = limit.map_or("not known".to_owned(), |bytes| {
                if bytes == u64::MAX { "none".to_owned() } else { format!("{bytes} bytes") }
            });
            report.find(checks::CORE_FILES, format_args!("the service's limit on core files is {limit}"));
        }
        (Some(program), _) => {
            let program = program.split_whitespace().next().unwrap_or_default();
            if process.is_dumpable.is_some() {
                report.find(checks::CORE_PIPED, format_args!("kernel.core_pattern names the program {program}"));
            } else {
                report.skip(
                    format!("whether the kernel gives the service's memory to {program} when it crashes"),
                    "that is not shown for a process of root",
                    "run the service as a user of its own",
                );
            }
        }
    }
}

fn judge_process(process: &Process, expected: &Expected, report: &mut Report) {
    if expected.is_production && process.user == 0 {
        report.find(checks::ROOT, format_args!("the service, process {}, runs as root", process.id));
    }
    let needed = u64::try_from(expected.descriptors).unwrap_or(u64::MAX);
    if let Some(limit) = process.descriptor_limit.filter(|limit| *limit < needed) {
        report.find(checks::DESCRIPTORS, format_args!("the service may open {limit} files, and can need {needed}"));
    }
    let Some(environment) = &process.environment else {
        return report.skip(
            "whether the running service has the settings that the doctor reads",
            "its environment is hidden from this user",
            "run the doctor as root",
        );
    };
    let own = env::vars_os().map(|(name, value)| [name, value].map(|text| text.to_string_lossy().into_owned()));
    let differing = differing_variables(environment, &own.map(<(String, String)>::from).collect());
    if !differing.is_empty() {
        let names: Vec<&str> = differing.iter().map(String::as_str).collect();
        report.find(checks::OTHER_SETTINGS, format_args!("the running service has another {}", names.join(", ")));
    }
}

/// The names of SafeSpace's variables that differ. An empty one is not set.
fn differing_variables(service: &HashMap<String, String>, own: &HashMap<String, String>) -> BTreeSet<String> {
    let value = |variables: &HashMap<String, String>, name: &str| {
        variables.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let files = VARIABLES.iter().filter(|variable| variable.secret).map(|variable| format!("{}_FILE", variable.name));
    let names = VARIABLES.iter().map(|variable| variable.name.to_owned()).chain(files);
    let names = names.filter(|name| !FOUND_BY.contains(&name.as_str()));
    names.filter(|name| value(service, name) != value(own, name)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use std::fs;

    use super::*;

    fn codes(report: &Report) -> Vec<&str> {
        report.findings.iter().map(|finding| finding.code).collect()
    }

    fn process() -> Process {
        Process {
            id: 7,
            user: 999,
            core_limit: Some(0),
            descriptor_limit: Some(1024),
            is_dumpable: Some(true),
            may_swap: true,
            environment: None,
            log: None,
        }
    }

    fn with_core_pattern(pattern: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/kernel");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("core_pattern"), format!("{pattern}\n")).unwrap();
        root
    }

    #[test]
    fn core_dumps_are_found_by_pattern_limit_and_dumpability() {
        let limited = |core_limit, is_dumpable| Process { core_limit, is_dumpable, ..process() };
        for (pattern, process, expected) in [
            ("core", limited(Some(0), Some(true)), vec![]),
            ("core", limited(Some(u64::MAX), Some(true)), vec!["host.core_files"]),
            ("core", limited(Some(u64::MAX), Some(false)), vec![]),
            ("core", limited(Some(4096), None), vec!["host.core_files"]),
            ("|/usr/lib/crash %p", limited(Some(0), Some(true)), vec!["host.core_piped"]),
            ("|/usr/lib/crash %p", limited(Some(0), Some(false)), vec![]),
            ("|/usr/lib/crash %p", limited(Some(1), Some(true)), vec![]),
        ] {
            let mut report = Report::default();
            judge_core_dumps(with_core_pattern(pattern).path(), &process, &mut report);
            assert_eq!(codes(&report), expected, "{pattern} {process:?}");
        }
    }

    #[test]
    fn a_program_for_the_dumps_of_a_process_of_root_is_not_checked() {
        let mut report = Report::default();
        let process = Process { user: 0, is_dumpable: None, ..process() };
        judge_core_dumps(with_core_pattern("|/usr/lib/crash %p").path(), &process, &mut report);
        assert!(report.findings.is_empty());
        assert!(report.not_checked[0].what.contains("/usr/lib/crash"), "{report:?}");
    }

    #[test]
    fn swap_is_serious_unless_the_services_group_forbids_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/swaps"), "Filename Type Size\n/dev/sda2 partition 8\n").unwrap();
        let find = |process: Option<&Process>| {
            let mut report = Report::default();
            judge_swap(root.path(), process, &mut report);
            codes(&report).concat()
        };
        assert_eq!(find(None), "host.swap");
        assert_eq!(find(Some(&process())), "host.swap");
        assert_eq!(find(Some(&Process { may_swap: false, ..process() })), "host.swap_of_others");
    }

    #[test]
    fn clocks_that_differ_by_more_than_five_minutes_are_found() {
        for (seconds, is_found) in [(0, false), (299, false), (301, true), (-301, true)] {
            let mut report = Report::default();
            judge_clock(TimeDelta::seconds(seconds), &mut report);
            assert_eq!(!report.findings.is_empty(), is_found, "{seconds} s");
        }
    }

    #[test]
    fn variables_differ_by_their_values_and_an_empty_one_is_not_set() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let service = map(&[("APP_PORT", "1"), ("LOG_LEVEL", "debug"), ("DB_PASSWORD_FILE", "/a"), ("WEB_NAME", " ")]);
        let own = map(&[("APP_PORT", "2"), ("LOG_LEVEL", "info"), ("UNRELATED", "x")]);
        let found: Vec<String> = differing_variables(&service, &own).into_iter().collect();
        assert_eq!(found, ["DB_PASSWORD_FILE", "LOG_LEVEL"]);
    }
}
