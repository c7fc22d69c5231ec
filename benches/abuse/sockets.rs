//! The kernel's memory for sockets: what a service has sent and its client has not read is there.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Pages in a MiB, of 4 KiB each.
const PAGES_PER_MIB: f64 = 256.0;

/// From one reading to the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// MiB of all TCP sockets of the machine, at the peak until the flag is set.
pub(crate) fn peak_memory(is_over: &AtomicBool) -> f64 {
    let mut peak: f64 = 0.0;
    while !is_over.load(Ordering::Relaxed) {
        peak = peak.max(memory().unwrap_or_default());
        thread::sleep(INTERVAL);
    }
    peak
}

/// `mem` of the line `TCP` (proc(5)).
fn memory() -> Option<f64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = text.lines().find(|line| line.starts_with("TCP:"))?;
    let pages: f64 = tcp.rsplit_once(" mem ")?.1.parse().ok()?;
    Some(pages / PAGES_PER_MIB)
}
