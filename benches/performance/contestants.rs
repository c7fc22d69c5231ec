//! What a load is measured on: SafeSpace, the baseline, the peers, the limit of an HTTP server, and pgbench.

use std::net::SocketAddr;
use std::path::Path;

use crate::baseline;
use crate::limit;
use crate::peers::{AXUM, FASTAPI, Peer};
use crate::pgbench::{self, Pgbench};
use crate::results::Sample;
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, migrate, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::PROGRAM;
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

pub(crate) enum Contestant {
    Service(Service),
    Pgbench(Pgbench),
}

/// Starts all of them, each with a database of its own.
pub(crate) fn start_all(
    settings: &Settings,
    postgres: &Postgres,
    peers: &[Peer],
    stop: &StopSignal,
) -> Outcome<Vec<Contestant>> {
    let ours = [(SAFESPACE, OWNER, Path::new(PROGRAM))];
    let theirs = settings.baseline.iter().map(|program| (baseline::NAME, baseline::NAME, program.as_path()));
    let mut services = Vec::new();
    for (name, database, program) in ours.into_iter().chain(theirs) {
        postgres.create_database(database)?;
        let command = |address: SocketAddr| safespace(settings, program, postgres, database, address);
        let sessions = Sessions::new(postgres.client(database)?, Format::Sealed);
        services.push(Service::start(postgres, name, Some(sessions), command, stop)?);
    }
    for peer in peers {
        postgres.create_database(peer.database)?;
        let sessions = Sessions::new(postgres.client(peer.database)?, Format::Plain);
        let command = |address: SocketAddr| peer.command(postgres, address);
        let mut service = Service::start(postgres, peer.name, Some(sessions), command, stop)?;
        service.slow = peer.slow;
        services.push(service);
    }
    services.push(Service::start(postgres, limit::NAME, None, limit::command, stop)?);
    migrate(settings, postgres, pgbench::NAME)?;
    let services = services.into_iter().map(Contestant::Service);
    Ok(services.chain([Contestant::Pgbench(Pgbench::new(postgres)?)]).collect())
}

impl Contestant {
    pub(crate) fn name(&self) -> &str {
        match self {
            Contestant::Service(service) => &service.name,
            Contestant::Pgbench(_) => pgbench::NAME,
        }
    }

    /// Whether it is so slow that fewer rounds suffice.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Contestant::Service(service) if service.slow)
    }

    /// Whether it can serve this workload. No peer streams.
    pub(crate) fn runs(&self, workload: Workload) -> bool {
        match self.name() {
            AXUM | FASTAPI => workload != Workload::Stream,
            limit::NAME => workload == Workload::Root,
            pgbench::NAME => pgbench::runs(workload),
            _ => true,
        }
    }

    /// Replaces everything stored by a few sessions, and by `histories` more with a long history.
    pub(crate) fn reset(&mut self, histories: usize) -> Outcome<()> {
        match self {
            Contestant::Service(service) => service.reset(FEW_SESSIONS, histories),
            Contestant::Pgbench(pgbench) => pgbench.reset(FEW_SESSIONS),
        }
    }

    /// Runs the load once.
    pub(crate) fn measure(&mut self, case: Case, seconds: u64) -> Outcome<Sample> {
        match self {
            Contestant::Service(service) => service.measure(case, seconds),
            Contestant::Pgbench(pgbench) => pgbench.measure(case, seconds),
        }
    }
}
