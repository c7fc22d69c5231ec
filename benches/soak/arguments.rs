//! The command line, and the times that follow from it.

use std::time::Duration;

use clap::Parser;

/// Uses SafeSpace as many people do, floods it, and kills it and its PostgreSQL again and again; exit code 1 with each promise that
/// was broken.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// How long the load lasts. PostgreSQL is killed every twelfth of that, the service every sixth, but at least 90 s apart.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=10_000))]
    pub(crate) minutes: u64,

    /// Tries everything out in ten minutes, with floods and kills in shorter intervals.
    #[arg(long, conflicts_with_all = ["minutes", "save"])]
    pub(crate) short: bool,

    /// Requests per second of the people, on average.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(10..=2_000))]
    pub(crate) rate: u32,

    /// Writes the tables and pictures into docs/.
    #[arg(long)]
    pub(crate) save: bool,

    /// Cargo adds this option to the command line of every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Minutes of a short run.
const SHORT_MINUTES: u64 = 10;

/// A sweep of ended sessions comes a minute after a start.
const MIN_KILL_INTERVAL: Duration = Duration::from_secs(90);

/// When things happen.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) load: Duration,
    /// From one kill of the service to the next.
    pub(crate) service_kills: Duration,
    /// From one kill of PostgreSQL to the next. The first one comes after half of it, so that they fall between those of the service.
    pub(crate) postgres_kills: Duration,
    /// From one flood to the next.
    pub(crate) floods: Duration,
}

impl Arguments {
    pub(crate) fn times(&self) -> Times {
        let load = Duration::from_secs(60 * if self.short { SHORT_MINUTES } else { self.minutes });
        Times {
            load,
            service_kills: (load / 6).max(MIN_KILL_INTERVAL),
            postgres_kills: (load / 12).max(MIN_KILL_INTERVAL / 2),
            floods: (load / 20).max(Duration::from_secs(30)),
        }
    }
}
