//! The command line: what the bench measures. How long and against what is in the environment (`settings.rs`).

use std::net::SocketAddr;

use clap::Parser;

/// Measures SafeSpace beside its peers. Without options, everything, which writes the tables and the picture of docs/performance.md.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// In under three minutes, compares ratios with the last ones in benches/performance/last.toml; exit code 1 if one fell by more
    /// than a tenth, twice.
    #[arg(long, conflicts_with_all = ["picture", "sweep", "short"])]
    pub(crate) quick: bool,

    /// Writes the ratios that were measured to benches/performance/last.toml.
    #[arg(long, requires = "quick")]
    pub(crate) save: bool,

    /// Only draws the picture, docs/performance.svg.
    #[arg(long, conflicts_with_all = ["sweep", "short"])]
    pub(crate) picture: bool,

    /// Only measures requests while ended sessions are swept.
    #[arg(long)]
    pub(crate) sweep: bool,

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
