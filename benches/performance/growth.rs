//! SafeSpace as its sessions grow: the same on a small and on a large database.

use std::net::{Ipv4Addr, SocketAddr};

use crate::database::Postgres;
use crate::results::Results;
use crate::rounds::{CREATE_128, FEW_SESSIONS, tell};
use crate::rows::Shape;
use crate::services::{SAFESPACE, Service, safespace};
use crate::settings::Settings;
use crate::work::{Case, Work};
use crate::{Outcome, Stop};

/// What is done to the small and to the large database.
pub(crate) const CASES: [Case; 4] = [
    CREATE_128,
    Case { work: Work::Read, connections: 128 },
    Case { work: Work::Delete, connections: 128 },
    Case { work: Work::Health, connections: 32 },
];

/// Fills the large database, and measures both in turns.
pub(crate) fn measure(settings: &Settings, postgres: &Postgres, stop: &Stop, results: &mut Results) -> Outcome<()> {
    let mut services = Vec::new();
    for (count, database) in [(FEW_SESSIONS, "small"), (settings.growth_sessions, "large")] {
        postgres.make(database)?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        if !safespace(postgres, database, nowhere).arg("migrate").output()?.status.success() {
            return Err(format!("the {database} database is not migrated").into());
        }
        let mut sessions = postgres.sessions(database, Shape::Sealed)?;
        if database == "large" {
            sessions.fill(count, stop)?;
        }
        let command = |address: SocketAddr| safespace(postgres, database, address);
        services.push(Service::start(postgres, &grown(count), sessions, command, stop)?);
    }
    for case in CASES {
        services.iter().for_each(|service| results.place(&service.name, case));
    }
    for case in CASES {
        for round in 0..=settings.rounds {
            services[0].sessions.begin_anew(FEW_SESSIONS, 0)?;
            let seconds = if round == 0 { settings.growth_warm_up } else { settings.seconds };
            for turn in 0..services.len() {
                let next = (round + turn) % services.len();
                let service = &mut services[next];
                let sample = service.measure(case, seconds)?;
                stop.check()?;
                tell(settings, round, &service.name, case, sample.rate);
                if round > 0 {
                    results.add(&service.name, case, sample);
                }
            }
        }
    }
    Ok(())
}

/// The name of SafeSpace on a database with that many sessions.
pub(crate) fn grown(sessions: usize) -> String {
    let text = match sessions {
        count if count % 1_000_000 == 0 => format!("{} million", count / 1_000_000),
        count if count % 1_000 == 0 => format!("{} thousand", count / 1_000),
        count => count.to_string(),
    };
    format!("{SAFESPACE}, {text} sessions")
}
