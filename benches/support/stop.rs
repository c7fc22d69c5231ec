//! Signals: they end the bench at its next check, so that every process it started is killed on the way out.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::outcome::Outcome;

/// Set by SIGINT, SIGTERM or SIGHUP.
pub(crate) struct StopSignal {
    requested: Arc<AtomicBool>,
}

impl StopSignal {
    /// Installs the signal handlers.
    pub(crate) fn install() -> Outcome<StopSignal> {
        let stop = StopSignal { requested: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, stop.requested.clone())?;
        }
        Ok(stop)
    }

    /// The flag itself, for a wait that polls it.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.requested
    }

    /// An error after a signal.
    pub(crate) fn check(&self) -> Outcome<()> {
        if self.requested.load(Ordering::Relaxed) { Err("stopped by a signal".into()) } else { Ok(()) }
    }

    /// After a signal, the signal is the reason of any other error too.
    pub(crate) fn or_error(&self, error: Box<dyn Error>) -> Box<dyn Error> {
        self.check().err().unwrap_or(error)
    }
}
