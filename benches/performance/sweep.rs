//! Sweeping: requests while a million ended sessions are deleted, and while they wait.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, Transaction};

use crate::results::Results;
use crate::rounds::{CREATE_128, print_progress};
use crate::rows::Format;
use crate::services::{Service, migrate, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
use crate::support::process::PROGRAM;
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

pub(crate) const CASES: [Case; 3] = [
    CREATE_128,
    Case { workload: Workload::Read, connections: 128 },
    Case { workload: Workload::Chat, connections: 64 },
];

/// The names of the service while ended sessions wait, and while they are swept.
pub(crate) const WAITING: &str = "SafeSpace, ended sessions wait";
pub(crate) const SWEEPING: &str = "SafeSpace, ended sessions are swept";

/// More than the minute from one sweep to the next.
const MAX_WAIT: Duration = Duration::from_secs(90);

/// Stores ended sessions with two messages each, and measures both in turn.
pub(crate) fn measure(
    settings: &Settings,
    postgres: &Postgres,
    stop: &StopSignal,
    results: &mut Results,
) -> Outcome<()> {
    let (program, database) = (Path::new(PROGRAM), "sweep");
    migrate(settings, postgres, database)?;
    let mut sessions = Sessions::new(postgres.client(database)?, Format::Sealed);
    sessions.reset(FEW_SESSIONS, 0)?;
    let (mut client, mut holder) = (postgres.client(database)?, postgres.client(database)?);
    eprintln!("storing {} ended sessions", settings.ended_sessions);
    client.batch_execute(&format!(
        "WITH ended AS (
             INSERT INTO sessions (id, sealed, created_hour, last_used_hour)
             SELECT gen_random_uuid(), decode(repeat('00', 49), 'hex'), 0, 0
             FROM generate_series(1, {}) RETURNING id
         )
         INSERT INTO messages SELECT id, position, gen_random_uuid(), decode(repeat('00', 297), 'hex'), 297 * position
         FROM ended, generate_series(1, 2) AS position",
        settings.ended_sessions
    ))?;
    client.batch_execute("VACUUM (ANALYZE) sessions, messages")?;
    client.batch_execute("CHECKPOINT")?;
    let command = |address: SocketAddr| safespace(settings, program, postgres, database, address);
    let mut service = Service::start(postgres, "sweep", Some(sessions), command, stop)?;
    for name in [WAITING, SWEEPING] {
        CASES.into_iter().for_each(|case| results.add_row(name, case));
    }
    for round in 1..=settings.rounds {
        let hold = hold_sweeps(&mut holder)?;
        for (name, hold) in [(WAITING, Some(hold)), (SWEEPING, None)] {
            if hold.is_none() {
                wait_for_sweep(&mut client, stop)?;
            }
            for case in CASES {
                let sample = service.measure(case, settings.seconds)?;
                stop.check()?;
                print_progress(settings, round, name, case, sample.rate);
                results.add_sample(name, case, sample);
            }
        }
        let left = "SELECT FROM sessions WHERE last_used_hour = 0 LIMIT 1";
        if client.query(left, &[])?.is_empty() {
            return Err("too few sessions had ended: set ENDED_SESSIONS higher".into());
        }
    }
    Ok(())
}

/// Takes the lock of the sweeper, so that the service does not sweep until the transaction ends.
fn hold_sweeps(client: &mut Client) -> Outcome<Transaction<'_>> {
    let mut transaction = client.transaction()?;
    while !transaction.query_one(include_str!("../../sql/sweeper/lock.sql"), &[])?.get::<_, bool>("is_locked") {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(transaction)
}

/// Waits until sessions are deleted.
fn wait_for_sweep(client: &mut Client, stop: &StopSignal) -> Outcome<()> {
    let mut deleted = || client.query_one("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'sessions'", &[]);
    let (before, began) = (deleted()?.get::<_, i64>(0), Instant::now());
    while deleted()?.get::<_, i64>(0) == before {
        stop.check()?;
        if began.elapsed() > MAX_WAIT {
            return Err("no sweep began".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
