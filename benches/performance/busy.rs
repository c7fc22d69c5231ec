//! What other programs do on this machine, which makes a short measurement unreliable.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::outcome::Outcome;

/// `/proc/stat` counts in ticks of 10 ms (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

const BUSY_INTERVAL: Duration = Duration::from_secs(1);

/// How many processors other programs keep busy, before the bench has started any.
pub(crate) fn processors() -> Outcome<f64> {
    let (before, began) = (ticks()?, Instant::now());
    thread::sleep(BUSY_INTERVAL);
    Ok((ticks()? - before) / TICKS_PER_SECOND / began.elapsed().as_secs_f64())
}

/// Time of all processors outside the idle loop since the start of the machine (proc(5), `/proc/stat`).
fn ticks() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).ok_or("/proc/stat has no first line")?;
    let counts: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // User, nice, system; then idle, waiting for the disk; interrupts, soft interrupts, time stolen by other machines.
    Ok(counts.iter().take(3).chain(counts.iter().skip(5).take(3)).sum())
}
