//! Processor time and memory of a process and its descendants, from Linux's `/proc` (proc(5)).

use std::fs;

/// `/proc/PID/stat` counts processor time in ticks of 10 ms (`USER_HZ`).
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

const KIB_PER_MIB: f64 = 1024.0;

/// Indexes of fields in `/proc/PID/stat`, counted from the one after the name.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const KERNEL_TICKS: usize = 12;
const ENDED_USER_TICKS: usize = 13;
const ENDED_KERNEL_TICKS: usize = 14;

/// User and kernel time of the process and its descendants, also of those that have ended, in microseconds.
pub(crate) fn processor_time(root: u32) -> f64 {
    let counted = [USER_TICKS, KERNEL_TICKS, ENDED_USER_TICKS, ENDED_KERNEL_TICKS];
    let ticks = |process| match stat(process) {
        Some(fields) => counted.iter().map(|&index| number(&fields, index)).sum(),
        None => 0.0,
    };
    tree(root).into_iter().map(ticks).sum::<f64>() * MICROSECONDS_PER_TICK
}

/// The resident memory of the process and its descendants, in MiB. Shared pages count once per process.
pub(crate) fn resident(root: u32) -> f64 {
    tree(root).into_iter().map(|process| memory(process, "VmRSS:").unwrap_or(0.0)).sum()
}

/// A field of one process's `status` that counts memory, in MiB.
pub(crate) fn memory(process: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / KIB_PER_MIB)
}

/// The threads of one process.
pub(crate) fn threads(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// The resident memory of one process in MiB, of which a page that several share counts in part for each.
pub(crate) fn proportional(process: u32) -> Option<f64> {
    let sums = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = sums.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / KIB_PER_MIB)
}

/// The process and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> =
        processes.filter_map(|process| Some((process, stat(process)?.get(PARENT)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, candidate)| *candidate == parent).map(|(process, _)| process));
        next += 1;
    }
    found
}

/// The fields of a process's `stat` after its name, which is in parentheses and may contain any character.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn number(fields: &[String], index: usize) -> f64 {
    fields.get(index).and_then(|field| field.parse().ok()).unwrap_or(0.0)
}
