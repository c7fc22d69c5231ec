//! Growth: the same cases on a small and on a large database.

use std::net::SocketAddr;
use std::path::Path;

use crate::results::Results;
use crate::rounds::{CREATE_128, print_progress};
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, migrate, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::PROGRAM;
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

/// The cases that run on the small and on the large database.
pub(crate) const CASES: [Case; 4] = [
    CREATE_128,
    Case { workload: Workload::Read, connections: 128 },
    Case { workload: Workload::Delete, connections: 128 },
    Case { workload: Workload::Health, connections: 32 },
];

/// What docs/setup.md says for many sessions, beside `shared_buffers`, which a private PostgreSQL has by itself.
const SETTINGS: [&str; 2] = ["max_wal_size = '4GB'", "wal_compression = 'lz4'"];

/// Fills the large database, and measures both alternately.
pub(crate) fn measure(
    settings: &Settings,
    postgres: &Postgres,
    stop: &StopSignal,
    results: &mut Results,
) -> Outcome<()> {
    let mut server = postgres.client(OWNER)?;
    for setting in SETTINGS {
        if let Err(error) = server.batch_execute(&format!("ALTER SYSTEM SET {setting}")) {
            eprintln!("growth is measured without {setting}: {error}");
        }
    }
    server.batch_execute("SELECT pg_reload_conf()")?;
    let program = Path::new(PROGRAM);
    let mut services = Vec::new();
    for (count, database) in [(FEW_SESSIONS, "small"), (settings.growth_sessions, "large")] {
        migrate(settings, postgres, database)?;
        let mut sessions = Sessions::new(postgres.client(database)?, Format::Sealed);
        if database == "large" {
            sessions.fill(count, stop)?;
        }
        let command = |address: SocketAddr| safespace(settings, program, postgres, database, address);
        services.push(Service::start(postgres, &service_name(count), Some(sessions), command, stop)?);
    }
    for case in CASES {
        services.iter().for_each(|service| results.add_row(&service.name, case));
    }
    for case in CASES {
        for round in 0..=settings.rounds {
            services[0].reset(FEW_SESSIONS, 0)?;
            let seconds = if round == 0 { settings.growth_warm_up } else { settings.seconds };
            for offset in 0..services.len() {
                let next = (round + offset) % services.len();
                let service = &mut services[next];
                let sample = service.measure(case, seconds)?;
                stop.check()?;
                print_progress(settings, round, &service.name, case, sample.rate);
                if round > 0 {
                    results.add_sample(&service.name, case, sample);
                }
            }
        }
    }
    server.batch_execute("ALTER SYSTEM RESET ALL")?;
    Ok(server.batch_execute("SELECT pg_reload_conf()")?)
}

/// The name of SafeSpace on a database with this number of sessions.
pub(crate) fn service_name(sessions: usize) -> String {
    let text = match sessions {
        count if count % 1_000_000 == 0 => format!("{} million", count / 1_000_000),
        count if count % 1_000 == 0 => format!("{} thousand", count / 1_000),
        count => count.to_string(),
    };
    format!("{SAFESPACE}, {text} sessions")
}
