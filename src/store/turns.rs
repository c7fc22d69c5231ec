//! The table `turns`: which session is answered now, so that several instances on one database answer a message once.
//!
//! A turn takes the claim of its session with the statement that stores its question. The claim holds for 5 s, and while the turn runs
//! it is renewed; it ends with the message behind the question, or when it is released. One thread does that for all turns of this
//! instance, and looks at their sessions: whether one was erased, or its turn stopped, at another instance. It uses a connection of its
//! own, and only while there are turns.

mod running;
mod watcher;

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use postgres::types::Type;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback};
use super::connection::Connection;
use super::connector::Connector;
use super::error::Error;
use super::fault_monitor::FaultMonitor;
use super::pool::Pool;
use crate::config::PoolSettings;
use crate::metrics::Metrics;
use crate::sealing::Lookup;
pub use running::ClaimEvent;
use running::{EventHandler, Released, Running, Shared, Waiting};
use watcher::Watcher;

/// The claims of sessions.
pub struct Claims {
    shared: Arc<Shared>,
    take: Batcher<(Lookup, i32, Uuid), bool>,
}

/// The claim of a turn, which perhaps is not taken yet. When it is dropped, it is released a little later.
pub struct Claim {
    shared: Arc<Shared>,
    session: Lookup,
    id: Uuid,
    created_at: Instant,
    /// Whether the row is released already, or there is none.
    is_released: bool,
}

impl Claims {
    /// Starts the claims' thread.
    pub(super) fn start(
        pool: &Arc<Pool>,
        connector: &Connector,
        monitor: &Arc<FaultMonitor>,
        settings: &PoolSettings,
        metrics: &Metrics,
    ) -> Claims {
        let shared = Arc::new(Shared::default());
        let mut watcher = Watcher::new(connector, monitor, settings);
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("claims".to_owned()).spawn(move || watcher.run(&of_thread));
        if let Err(error) = thread {
            log::error!(error:%; "The turns of other instances are not watched");
            shared.end_thread();
            shared.close();
        }
        // Several rows in one statement could deadlock with a delete, which has locked a session and waits for its claim.
        let policy = BatchPolicy::new(1, settings);
        Claims { shared, take: Batcher::new(pool, take, policy, metrics.batch_sizes("turns/claim")) }
    }

    /// A claim of a session, which is not taken yet. Its 5 s count from now on.
    #[must_use]
    pub fn claim(&self, session: Lookup) -> Claim {
        let (shared, created_at) = (self.shared.clone(), Instant::now());
        Claim { shared, session, id: Uuid::new_v4(), created_at, is_released: false }
    }

    /// Watches a session without taking its claim.
    #[must_use]
    pub fn watch(&self, session: Lookup, on_event: impl Fn(ClaimEvent) + Send + Sync + 'static) -> Claim {
        let mut claim = self.claim(session);
        claim.is_released = true;
        claim.run(None, Arc::new(on_event));
        claim
    }

    /// Takes the claim of a session whose newest message has this position; false while another turn has it.
    /// [`super::Messages::ask`] takes it with a new question.
    pub fn take(&self, claim: &Claim, position: i32, callback: Callback<bool>) {
        self.take.run((claim.session, position, claim.id), callback);
    }

    /// Stops the turn of a session that exists, whichever instance runs it. The callback receives whether the session exists, once
    /// the turn is over. Does not block.
    pub fn stop(&self, session: Lookup, callback: Callback<bool>) {
        self.shared.stop(session, callback);
    }

    /// Waits for the end of the turn of a session that exists, whichever instance runs it; otherwise as [`Claims::stop`].
    pub fn wait(&self, session: Lookup, callback: Callback<bool>) {
        self.shared.wait(Waiting { session, claim: None, is_stop: false, callback });
    }

    /// Ends what [`Claims::wait`] began, and begins no more of it: the callbacks receive [`Error::Unavailable`]. For a service whose
    /// time to stop is over.
    pub fn end_waiting(&self) {
        self.shared.end_waiting();
    }

    pub(super) fn close(&self) {
        self.shared.close();
    }
}

impl Claim {
    /// What is stored of it.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// From now on the claim is held: it is renewed, and `on_event` is called, possibly several times, on the claims' thread.
    pub fn hold(&self, position: i32, on_event: impl Fn(ClaimEvent) + Send + Sync + 'static) {
        self.run(Some(position), Arc::new(on_event));
    }

    fn run(&self, position: Option<i32>, on_event: EventHandler) {
        let (session, claimed_at, since) = (self.session, self.created_at, Instant::now());
        self.shared.run(self.id, Running { session, position, on_event, claimed_at, since });
    }

    /// Whether the session is known to have existed a moment ago. Otherwise it was erased elsewhere perhaps, and the database is slow or
    /// away.
    #[must_use]
    pub fn is_session_known(&self) -> bool {
        self.shared.is_session_known(&self.id)
    }

    /// Releases it at once.
    pub fn release(mut self, callback: Callback<()>) {
        self.end(Some(callback));
    }

    fn end(&mut self, callback: Option<Callback<()>>) {
        self.shared.end(&self.id);
        if !mem::replace(&mut self.is_released, true) {
            let (session, claim) = (self.session, self.id);
            self.shared.release(Released { session, claim, is_second_try: false, callback });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(None);
    }
}

fn take(connection: &mut Connection, claims: &[(Lookup, i32, Uuid)]) -> Result<Vec<bool>, Error> {
    let take_one = |(session, position, claim): &(Lookup, i32, Uuid)| {
        let [session, claim] = [session.expose(), claim].map(|id| (id as _, Type::UUID));
        // The question is stored already.
        let behind_question = (&0_i32 as _, Type::INT4);
        let statement = include_str!("../../sql/turns/claim.sql");
        let rows = connection.query(statement, &[session, (position, Type::INT4), claim, behind_question])?;
        Ok(!rows.is_empty())
    };
    claims.iter().map(take_one).collect()
}
