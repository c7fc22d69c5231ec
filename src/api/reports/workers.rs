//! What the routes of reports share: the texts, and bounded threads. Making a PDF takes much longer than anything else here, so
//! PDFs have threads of their own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::api::catalogue::Code;
use crate::api::problem::Problem;
use crate::peers::PeerKey;
use crate::report::Templates;
use crate::sealing::Lookup;
use crate::sync::{ThreadPool, ThreadPoolSettings};
use crate::turns::{PeerTurn, PeerTurns};

/// Threads for everything but PDFs and deletes. Each waits for PostgreSQL most of the time, with one connection.
const THREADS: usize = 4;

/// Requests that wait for one of them.
const MAX_QUEUED: usize = 128;

/// Threads for reports that a model polishes: each waits for it.
const POLISHING_THREADS: usize = 32;

/// Threads that make PDFs.
const PDF_THREADS: usize = 2;

/// PDFs that wait for one of them.
const MAX_QUEUED_PDFS: usize = 32;

/// Threads that delete reports, so that no other requests stand before that.
const DELETING_THREADS: usize = 2;

/// Deletes that wait for one of them.
const MAX_QUEUED_DELETES: usize = 1024;

/// The part of the requests that wait which may be one network's.
const PEER_DIVISOR: usize = 4;

/// Bytes of the stack of a thread.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// What the routes of reports share.
pub struct ReportWorkers {
    /// The texts that reports are made from.
    pub(super) templates: Templates,
    pub(in crate::api) threads: ThreadPool,
    /// One for each [`PolishPermit`].
    pub(super) polishing_threads: ThreadPool,
    polishing: Arc<AtomicUsize>,
    pub(super) deleting_threads: ThreadPool,
    pub(super) pdf_threads: ThreadPool,
    of_peers: PeerTurns,
    pdfs_of_peers: PeerTurns,
    /// The sessions of which a PDF is made or waits.
    pdfs_of_sessions: Arc<Mutex<HashSet<Lookup>>>,
}

/// A report that a model polishes. Dropping it ends that.
#[must_use]
pub(super) struct PolishPermit(Arc<AtomicUsize>);

/// A PDF of a session that is made or waits. Dropping it ends that.
#[must_use]
pub(super) struct PdfPermit {
    of_sessions: Arc<Mutex<HashSet<Lookup>>>,
    session: Lookup,
    _of_peer: Option<PeerTurn>,
}

impl ReportWorkers {
    /// Reports that are made from these texts.
    #[must_use]
    pub fn new(templates: Templates) -> ReportWorkers {
        let pool = |name, max_threads, max_queued| {
            let idle_timeout = Duration::from_secs(10);
            ThreadPool::new(ThreadPoolSettings {
                name,
                max_threads,
                max_queued,
                idle_timeout,
                stack_bytes: STACK_BYTES,
            })
        };
        ReportWorkers {
            templates,
            threads: pool("report", THREADS, MAX_QUEUED),
            polishing_threads: pool("polish", POLISHING_THREADS, POLISHING_THREADS),
            polishing: Arc::default(),
            deleting_threads: pool("delete-report", DELETING_THREADS, MAX_QUEUED_DELETES),
            pdf_threads: pool("pdf", PDF_THREADS, MAX_QUEUED_PDFS),
            of_peers: PeerTurns::new(MAX_QUEUED / PEER_DIVISOR),
            pdfs_of_peers: PeerTurns::new(MAX_QUEUED_PDFS / PEER_DIVISOR),
            pdfs_of_sessions: Arc::default(),
        }
    }

    /// Counts a request of a network, where networks can be told apart.
    ///
    /// # Errors
    /// 429 where it has its share.
    pub(in crate::api) fn begin(&self, peer: Option<PeerKey>) -> Result<Option<PeerTurn>, Problem> {
        self.of_peers.begin(peer).map_err(|_| limited())
    }

    /// Counts a report that a model polishes; `None` where so many are polished that this one would have to wait.
    pub(super) fn begin_polish(&self) -> Option<PolishPermit> {
        let free = |polishing| (polishing < POLISHING_THREADS).then_some(polishing + 1);
        let begun = self.polishing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        begun.ok().map(|_| PolishPermit(self.polishing.clone()))
    }

    /// Counts a PDF of a session and of a network.
    ///
    /// # Errors
    /// 429 while another one of the session is made, or where the network has its share.
    pub(super) fn begin_pdf(&self, session: Lookup, peer: Option<PeerKey>) -> Result<PdfPermit, Problem> {
        let _of_peer = self.pdfs_of_peers.begin(peer).map_err(|_| limited())?;
        if !self.pdfs_of_sessions.lock().insert(session) {
            return Err(Problem::new(Code::PdfInProgress).after(1));
        }
        Ok(PdfPermit { of_sessions: self.pdfs_of_sessions.clone(), session, _of_peer })
    }
}

fn limited() -> Problem {
    Problem::new(Code::NetworkLimited).after(1)
}

impl Drop for PolishPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for PdfPermit {
    fn drop(&mut self) {
        self.of_sessions.lock().remove(&self.session);
    }
}
