//! How long SafeSpace takes from its start to the first request it may be sent.

use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::database::{OWNER, Postgres};
use crate::results::median;
use crate::services::{Process, is_well, safespace};
use crate::{Outcome, Stop};

const STARTS: usize = 9;
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// The median of the milliseconds from starting the program, on a database that is migrated, until it is ready.
pub(crate) fn measure(postgres: &Postgres, stop: &Stop) -> Outcome<f64> {
    let command = |address: SocketAddr| safespace(postgres, OWNER, address);
    let mut durations = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let process = Process::spawn(command, Stdio::null())?;
        while !is_well(process.address, "/health/ready") {
            stop.check()?;
            if started.elapsed() > PATIENCE {
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
