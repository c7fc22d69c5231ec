//! What a process and all that it started have used, from Linux's `/proc`.

use std::fs;

/// Linux counts processor time in hundredths of a second.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

const KIB_PER_MIB: f64 = 1024.0;

/// Where the values are in `/proc/PID/stat`, counted from after the name.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const KERNEL_TICKS: usize = 12;

/// Microseconds of processor time that the process and its descendants have spent, in themselves and in the kernel.
pub(crate) fn processor_time(root: u32) -> f64 {
    let ticks = |process| match stat(process) {
        Some(fields) => number(&fields, USER_TICKS) + number(&fields, KERNEL_TICKS),
        None => 0.0,
    };
    tree(root).into_iter().map(ticks).sum::<f64>() * MICROSECONDS_PER_TICK
}

/// The resident memory of the process and its descendants, in MiB. What they share is counted once for each.
pub(crate) fn resident(root: u32) -> f64 {
    tree(root).into_iter().map(|process| resident_kib(process).unwrap_or(0.0)).sum::<f64>() / KIB_PER_MIB
}

fn resident_kib(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> =
        processes.filter_map(|process| Some((process, stat(process)?.get(PARENT)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, its_parent)| *its_parent == parent).map(|(process, _)| process));
        next += 1;
    }
    found
}

/// The fields of a process's `stat` after its name, which is in brackets and may hold anything.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn number(fields: &[String], place: usize) -> f64 {
    fields.get(place).and_then(|field| field.parse().ok()).unwrap_or(0.0)
}
