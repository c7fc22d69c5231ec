//! Asks each of several hosts once a second for its timeline, so that a server that was replaced is found although it still answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::connector::{self, Connector};
use super::host::{Demands, Host};
use super::timelines::{ServerState, Timelines};

const INTERVAL: Duration = Duration::from_secs(1);

/// The time for the answer of a server that works.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Watches until it is closed. Each host has a thread and a connection of its own: one that hangs delays the others in nothing, and has
/// one attempt at a time.
#[derive(Default)]
pub(super) struct HostWatch {
    closed: Arc<AtomicBool>,
}

impl HostWatch {
    /// Starts the threads; none for a single host. Nothing waits for their end.
    pub(super) fn start(connector: &Connector) -> HostWatch {
        let watch = HostWatch::default();
        let connector = connector.clone().with_statement_timeout(ASK_TIMEOUT);
        let Some((timelines, hosts)) = connector.watched() else { return watch };
        for host in hosts {
            let (host, timelines, closed) = (host.clone(), timelines.clone(), watch.closed.clone());
            let thread =
                thread::Builder::new().name("db-host".to_owned()).spawn(move || run(&host, &timelines, &closed));
            if let Err(error) = thread {
                log::error!(error:%; "A host of DATABASE_URL is not watched");
            }
        }
        watch
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Any server is asked, also one that takes no writes. Whether it can be reached is no matter of this thread.
fn run(host: &Host, timelines: &Timelines, closed: &AtomicBool) {
    let anything = Demands { writes: false, timelines: None };
    let mut client = None;
    while !closed.load(Ordering::Relaxed) {
        client = client.or_else(|| host.open(&anything).ok());
        if let Some(mut connected) = client.take() {
            // The driver can panic.
            match catch_unwind(AssertUnwindSafe(|| ServerState::ask(&mut connected))) {
                Ok(Ok(state)) => {
                    timelines.observe(&host.label, &state);
                    client = Some(connected);
                }
                _ => connector::close(connected),
            }
        }
        thread::sleep(INTERVAL);
    }
}
