//! What the routes of reports share: the texts, and bounded threads. Each kind of work has threads of its own, so that no flood of one
//! stands before another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::catalogue::Code;
use crate::api::problem::Problem;
use crate::peers::{PeerKey, PeerLimit, PeerPermit};
use crate::report::Templates;
use crate::sync::{ThreadPool, ThreadPoolSettings};

/// Threads that read reports, and as many that make and change them: each waits for PostgreSQL most of the time, with one connection.
const THREADS: usize = 4;

/// Requests that wait for one of them. Writes have a rate, reads have none.
const MAX_QUEUED_READS: usize = 512;
const MAX_QUEUED_WRITES: usize = 128;

/// Threads that read the reports of files that are exported.
const EXPORTING_THREADS: usize = 2;

/// Pieces of such files that wait for one of them. A file that has begun breaks off without one, so there are more than clients.
const MAX_QUEUED_PIECES: usize = 1_000_000;

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

/// Requests that read reports of one session at the same time.
const MAX_READS_OF_SESSION: usize = 16;

/// Bytes of the stack of a thread.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// What the routes of reports share.
pub struct ReportWorkers {
    /// The texts that reports are made from.
    pub(super) templates: Templates,
    pub(super) reading_threads: ThreadPool,
    pub(super) writing_threads: ThreadPool,
    pub(in crate::api) exporting_threads: ThreadPool,
    /// One for each [`PolishPermit`].
    pub(super) polishing_threads: ThreadPool,
    polishing: Arc<AtomicUsize>,
    pub(super) deleting_threads: ThreadPool,
    pub(super) pdf_threads: ThreadPool,
    writes_of_peers: PeerLimit,
    reads_of_peers: PeerLimit,
    reads_of_sessions: PeerLimit,
    pdfs_of_peers: PeerLimit,
    pdfs_of_sessions: PeerLimit,
}

/// A request that is worked on or waits, as counted for its network and its session. Dropping it ends that.
pub(in crate::api) type Share = [Option<PeerPermit>; 2];

/// A report that a model polishes. Dropping it ends that.
#[must_use]
pub(super) struct PolishPermit(Arc<AtomicUsize>);

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
            reading_threads: pool("read-report", THREADS, MAX_QUEUED_READS),
            writing_threads: pool("write-report", THREADS, MAX_QUEUED_WRITES),
            exporting_threads: pool("export", EXPORTING_THREADS, MAX_QUEUED_PIECES),
            polishing_threads: pool("polish", POLISHING_THREADS, POLISHING_THREADS),
            polishing: Arc::default(),
            deleting_threads: pool("delete-report", DELETING_THREADS, MAX_QUEUED_DELETES),
            pdf_threads: pool("pdf", PDF_THREADS, MAX_QUEUED_PDFS),
            writes_of_peers: PeerLimit::new(MAX_QUEUED_WRITES / PEER_DIVISOR),
            reads_of_peers: PeerLimit::new(MAX_QUEUED_READS / PEER_DIVISOR),
            reads_of_sessions: PeerLimit::new(MAX_READS_OF_SESSION),
            pdfs_of_peers: PeerLimit::new(MAX_QUEUED_PDFS / PEER_DIVISOR),
            pdfs_of_sessions: PeerLimit::new(1),
        }
    }

    /// Counts a request that makes or changes a report, of a network where networks can be told apart. Those of a session have a rate.
    ///
    /// # Errors
    /// 429 where the network has its share.
    pub(super) fn begin_write(&self, peer: Option<PeerKey>) -> Result<Share, Problem> {
        let of_peer = self.writes_of_peers.begin(peer).map_err(|_| limited())?;
        Ok([of_peer, None])
    }

    /// Counts a request that reads reports of a session, and of its network.
    ///
    /// # Errors
    /// 429 where one of them has its share.
    pub(in crate::api) fn begin_read(&self, (peer, session): (Option<PeerKey>, PeerKey)) -> Result<Share, Problem> {
        let of_peer = self.reads_of_peers.begin(peer).map_err(|_| limited())?;
        let of_session = self.reads_of_sessions.begin(Some(session));
        Ok([of_peer, of_session.map_err(|_| limited())?])
    }

    /// Counts a report that a model polishes; `None` where so many are polished that this one would have to wait.
    pub(super) fn begin_polish(&self) -> Option<PolishPermit> {
        let free = |polishing| (polishing < POLISHING_THREADS).then_some(polishing + 1);
        let begun = self.polishing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        begun.ok().map(|_| PolishPermit(self.polishing.clone()))
    }

    /// Counts a PDF of a session, and of its network.
    ///
    /// # Errors
    /// 429 while another one of the session is made, or where the network has its share.
    pub(super) fn begin_pdf(&self, (peer, session): (Option<PeerKey>, PeerKey)) -> Result<Share, Problem> {
        let of_peer = self.pdfs_of_peers.begin(peer).map_err(|_| limited())?;
        let of_session = self.pdfs_of_sessions.begin(Some(session));
        Ok([of_peer, of_session.map_err(|_| Problem::new(Code::PdfInProgress).after(1))?])
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
