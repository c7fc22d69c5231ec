//! The memory that the private PostgreSQL takes for its cache of pages.

use std::fs;
use std::path::Path;

/// Bounds of the cache in MiB. PostgreSQL's default is the lower one. With 10 million sessions the index of their ids takes about
/// 400 MiB; where it does not fit, nearly each new session reads a page of it and writes another one out.
const MIN_MIB: u64 = 128;
const MAX_MIB: u64 = 1024;

/// The setting for a cache of a quarter of the memory, within the bounds; `None` where the memory is not known. PostgreSQL uses
/// the memory only when it has so many pages.
pub(super) fn cache_setting() -> Option<String> {
    let memory = machine_bytes()?;
    let memory = group_bytes().map_or(memory, |limit| limit.min(memory));
    Some(format!("shared_buffers={}MB", ((memory / 4) >> 20).clamp(MIN_MIB, MAX_MIB)))
}

#[cfg(target_os = "linux")]
fn machine_bytes() -> Option<u64> {
    nix::sys::sysinfo::sysinfo().ok().map(|system| system.ram_total())
}

#[cfg(not(target_os = "linux"))]
fn machine_bytes() -> Option<u64> {
    None
}

/// The lowest limit of the control groups (version 2) of this process, as containers and services have.
fn group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(own);
    // A group without a limit has the word `max`.
    let limits = folder.ancestors().filter_map(|group| fs::read_to_string(group.join("memory.max")).ok());
    limits.filter_map(|limit| limit.trim().parse().ok()).min()
}
