//! The time from starting SafeSpace until it is ready for requests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::results::median;
use crate::services::safespace;
use crate::settings::Settings;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::{PROGRAM, Process, is_ok};
use crate::support::stop::StopSignal;

const STARTS: usize = 9;
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The median time in milliseconds, on a migrated database, from starting the program until `/health/ready` returns 200.
pub(crate) fn measure(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<f64> {
    let command = |address: SocketAddr| safespace(settings, Path::new(PROGRAM), postgres, OWNER, address);
    let mut durations = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let process = Process::spawn(command, Stdio::null())?;
        while !is_ok(process.address, "/health/ready") {
            stop.check()?;
            if started.elapsed() > TIMEOUT {
                return Err("SafeSpace does not become ready".into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        durations.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    let result = median(durations).ok_or("no start was measured")?;
    eprintln!("start: {result:.0} ms");
    Ok(result)
}
