//! How long and against what the bench runs, from the command line and the environment.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::support::outcome::Outcome;

/// Sessions in the small database, and in every database at the start of a round.
pub(crate) const FEW_SESSIONS: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Settings {
    /// Seconds of one run of the load.
    pub(crate) seconds: u64,
    /// Seconds of each run in the warm-up round, whose samples are dropped; `None` skips that round.
    pub(crate) warm_up: Option<u64>,
    /// Seconds of the warm-up run on the small and the large database. After a checkpoint, PostgreSQL writes each page
    /// of the index in full at its first change; creates touch all pages within this time, and run for minutes after it.
    pub(crate) growth_warm_up: u64,
    /// Rounds that count. The median of an odd number is a measured value.
    pub(crate) rounds: usize,
    /// No round but the first begins after this time.
    pub(crate) max_time: Option<Duration>,
    /// Sessions in the large database.
    pub(crate) growth_sessions: usize,
    /// Sessions that ended, in the database that is swept.
    pub(crate) ended_sessions: usize,
    /// Streamed turns that are open while memory is measured.
    pub(crate) open_streams: usize,
    /// Idle connections that are open while memory is measured.
    pub(crate) idle_connections: usize,
    /// The folder of the peers.
    pub(crate) peers: Option<PathBuf>,
    /// Another SafeSpace binary.
    pub(crate) baseline: Option<PathBuf>,
    /// `LOG_LEVEL` of SafeSpace and of the baseline.
    pub(crate) log_level: String,
    /// Whether the report goes into the documentation.
    pub(crate) writes_document: bool,
}

impl Settings {
    /// Reads the variables that `main.rs` lists.
    pub(crate) fn read(arguments: &Arguments) -> Outcome<Settings> {
        let short = arguments.short;
        let growth_sessions = number("GROWTH_SESSIONS", if short { 100_000 } else { 10_000_000 })?;
        if growth_sessions <= FEW_SESSIONS {
            return Err(format!("GROWTH_SESSIONS has to be more than {FEW_SESSIONS}").into());
        }
        let (peers, baseline) = (path("PEERS")?, path("BASELINE")?);
        let has_axum = peers.as_ref().is_some_and(|peers| peers.join("axum").is_dir());
        Ok(Settings {
            seconds: if short { 1 } else { 2 },
            warm_up: if short { None } else { Some(1) },
            growth_warm_up: if short { 1 } else { 10 },
            rounds: number("ROUNDS", if short { 2 } else { 5 })?.max(1),
            max_time: None,
            growth_sessions,
            ended_sessions: number("ENDED_SESSIONS", if short { 100_000 } else { 1_000_000 })?.max(1),
            open_streams: number("OPEN_STREAMS", 2_000)?.max(1),
            idle_connections: number("IDLE_CONNECTIONS", 10_000)?.max(1),
            peers,
            log_level: env::var("LOG_LEVEL").unwrap_or_else(|_| "info".to_owned()),
            writes_document: !short && arguments.only.is_none() && has_axum && baseline.is_none(),
            baseline,
        })
    }

    /// Those of the quick comparison, whose time is bounded: three rounds of one second, without peers and baseline.
    pub(crate) fn quick(self) -> Settings {
        Settings { seconds: 1, warm_up: None, rounds: 3, peers: None, baseline: None, ..self }
    }

    /// Those of the picture: three rounds of one second.
    pub(crate) fn picture(self) -> Settings {
        Settings { seconds: 1, warm_up: None, rounds: 3, ..self }
    }
}

fn number(name: &str, default: usize) -> Outcome<usize> {
    match env::var(name) {
        Ok(text) => usize::from_str(&text).map_err(|_| format!("{name} is not a number: {text}").into()),
        Err(_) => Ok(default),
    }
}

/// The absolute path of something that exists.
fn path(name: &str) -> Outcome<Option<PathBuf>> {
    let Some(path) = env::var_os(name) else { return Ok(None) };
    Ok(Some(fs::canonicalize(path).map_err(|error| format!("{name}: {error}"))?))
}
