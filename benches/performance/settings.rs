//! How long and against what the bench runs, from the environment.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::Outcome;
use crate::rounds::FEW_SESSIONS;

pub(crate) struct Settings {
    /// Seconds of one run of the load.
    pub(crate) seconds: u64,
    /// Seconds of one run in the round before the first, which does not count; without it there is none.
    pub(crate) warm_up: Option<u64>,
    /// Seconds of the run before the rounds on a large database. After a checkpoint, PostgreSQL writes each page of the
    /// index in full when it first changes: creates come upon all of them within this time, and then go on for minutes.
    pub(crate) growth_warm_up: u64,
    /// Rounds that count. An odd number has a median that was measured.
    pub(crate) rounds: usize,
    /// Sessions in the large database.
    pub(crate) growth_sessions: usize,
    /// The folder of the peers.
    pub(crate) peers: Option<PathBuf>,
    /// Whether what was measured goes into the documentation.
    pub(crate) writes_document: bool,
}

impl Settings {
    /// Reads `QUICK`, `GROWTH_SESSIONS` and `PEERS`.
    pub(crate) fn from_environment() -> Outcome<Settings> {
        let quick = env::var_os("QUICK").is_some_and(|value| value == "1");
        let growth_sessions = match env::var("GROWTH_SESSIONS") {
            Ok(text) => text.parse().map_err(|_| format!("GROWTH_SESSIONS is no number: {text}"))?,
            Err(_) if quick => 100_000,
            Err(_) => 10_000_000,
        };
        if growth_sessions <= FEW_SESSIONS {
            return Err(format!("GROWTH_SESSIONS has to be more than {FEW_SESSIONS}").into());
        }
        let peers = match env::var_os("PEERS") {
            Some(folder) => Some(fs::canonicalize(&folder).map_err(|error| format!("PEERS: {error}"))?),
            None => None,
        };
        Ok(Settings {
            seconds: if quick { 1 } else { 2 },
            warm_up: if quick { None } else { Some(1) },
            growth_warm_up: if quick { 1 } else { 10 },
            rounds: if quick { 2 } else { 5 },
            growth_sessions,
            peers,
            writes_document: !quick,
        })
    }
}
