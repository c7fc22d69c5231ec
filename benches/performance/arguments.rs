//! The command line: what the bench measures. How long and against what is in the environment (`settings.rs`).

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Measures SafeSpace beside its peers. Without options, everything, which writes the tables and the picture of docs/performance.md.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// In under three minutes, compares ratios with the last ones in benches/performance/last.toml; exit code 1 if one fell by more
    /// than a tenth, twice.
    #[arg(long, conflicts_with_all = ["picture", "only", "short"])]
    pub(crate) quick: bool,

    /// Writes the ratios that were measured to benches/performance/last.toml.
    #[arg(long, requires = "quick")]
    pub(crate) save: bool,

    /// Only draws the picture, docs/performance.svg.
    #[arg(long, conflicts_with_all = ["only", "short"])]
    pub(crate) picture: bool,

    /// Measures one part alone, and writes nothing.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,

    /// Tries everything out with short rounds and small tables, and writes nothing.
    #[arg(long)]
    pub(crate) short: bool,

    /// Serves as the limit of an HTTP server at this address; the bench starts itself in this way.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub(crate) serve_limit: Option<SocketAddr>,

    /// Cargo adds this option to the command line of every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Alternating rounds of SafeSpace, its peers, the limit and pgbench.
    Rounds,
    /// The time of a start.
    Start,
    /// Memory with idle connections, and after a burst of histories.
    Memory,
    /// Streamed answers of many turns at once.
    Streams,
    /// A small and a large database.
    Growth,
    /// Requests while ended sessions are swept.
    Sweep,
}
