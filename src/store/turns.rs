//! The table `turns`: which session is answered now, so that several instances on one database answer a message once.
//!
//! A turn takes the claim of its session with the statement that stores its question. The claim holds for 5 s, and while the turn runs
//! it is renewed; it ends with the message behind the question, or when it is released. One thread does that for all turns of this
//! instance, and looks at their sessions: whether one was erased, or its turn stopped, at another instance. It uses a connection of its
//! own, and only while there are turns.

mod running;

use std::collections::HashMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::types::Type;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback};
use super::connection::{Connection, Parameter};
use super::connector::Connector;
use super::error::Error;
use super::fault_monitor::FaultMonitor;
use super::pool::Pool;
use crate::config::PoolSettings;
use crate::metrics::Metrics;
use crate::sealing::Lookup;
pub use running::ClaimEvent;
use running::{Look, Released, Round, Running, Shared, Waiting};

/// The time for each statement of the claims' thread.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time from one renewal to the next; a claim holds for 5 s.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

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
        let mut watcher = Watcher {
            connector: connector.clone().with_statement_timeout(STATEMENT_TIMEOUT),
            monitor: monitor.clone(),
            is_distributed: settings.is_distributed,
            connection: None,
            renewed_at: Instant::now(),
        };
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

    /// A claim of a session, which is not taken yet.
    #[must_use]
    pub fn claim(&self, session: Lookup) -> Claim {
        Claim { shared: self.shared.clone(), session, id: Uuid::new_v4(), is_released: false }
    }

    /// Watches a session without taking its claim.
    #[must_use]
    pub fn watch(&self, session: Lookup, on_event: impl Fn(ClaimEvent) + Send + Sync + 'static) -> Claim {
        let mut claim = self.claim(session);
        claim.is_released = true;
        let (on_event, since) = (Arc::new(on_event), Instant::now());
        claim.shared.run(claim.id, Running { session, position: None, on_event, since });
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
        self.shared.wait(Waiting { session, claim: None, is_message: true, callback });
    }

    /// Ends all [`Claims::wait`], now and from now on, with [`Error::Unavailable`]: a service that stops does not wait for turns of
    /// other instances.
    pub fn refuse_to_wait(&self) {
        self.shared.refuse_messages();
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
        let (session, on_event, since) = (self.session, Arc::new(on_event), Instant::now());
        self.shared.run(self.id, Running { session, position: Some(position), on_event, since });
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

/// A session as a look finds it, with the claim that it has.
struct Found {
    claim: Option<Uuid>,
    is_stopped: bool,
    is_live: bool,
}

/// Owned by the claims' thread.
struct Watcher {
    connector: Connector,
    monitor: Arc<FaultMonitor>,
    is_distributed: bool,
    /// `None` after a failure, and before the first turn.
    connection: Option<Connection>,
    renewed_at: Instant,
}

impl Watcher {
    fn run(&mut self, shared: &Shared) {
        let (mut last_look, mut has_failed) = (Instant::now(), false);
        while let Some(round) = shared.next_round(last_look, has_failed) {
            if round.look.is_some() {
                last_look = Instant::now();
            }
            // The driver can panic.
            let result = catch_unwind(AssertUnwindSafe(|| self.work(shared, round)));
            has_failed = !matches!(result, Ok(Ok(())));
            if has_failed {
                last_look = Instant::now();
                // The pool and the fault monitor log why.
                self.connection = None;
            }
        }
        shared.end_thread();
    }

    /// # Errors
    /// The first one. The callers whose claim is not released, or whose stop not asked for, receive it.
    fn work(&mut self, shared: &Shared, round: Round) -> Result<(), Error> {
        let connected = self.connect();
        let released = connected.clone().and_then(|()| self.release(&round.released));
        finish_released(shared, round.released, &released);
        let mut result = released.map(|_| ());
        for stop in round.stops {
            match result.clone().and_then(|()| self.stop(stop.session)) {
                Ok(None) => (stop.callback)(Ok(true)),
                Ok(claim) => shared.wait(Waiting { claim, ..stop }),
                Err(error) => {
                    (stop.callback)(Err(error.clone()));
                    result = Err(error);
                }
            }
        }
        let Some(Look { running, waiting }) = round.look else { return result };
        let began_at = Instant::now();
        match result.and_then(|()| self.look(&running, &waiting)) {
            Ok(found) => {
                for (claim, running) in &running {
                    if let Some(event) = event(&found, claim, running) {
                        (running.on_event)(event);
                    }
                }
                shared.note_look(began_at);
                waiting.into_iter().for_each(|waiting| go_on_waiting(shared, &found, waiting));
                Ok(())
            }
            Err(error) => {
                // They go on, so that a failover ends no wait; their clients have timeouts.
                waiting.into_iter().for_each(|waiting| shared.wait(waiting));
                Err(error)
            }
        }
    }

    fn connect(&mut self) -> Result<(), Error> {
        let timeout = STATEMENT_TIMEOUT;
        if self.connection.as_mut().is_some_and(|connection| connection.probe_if_stale(timeout).is_ok()) {
            return Ok(());
        }
        self.connection = None;
        let opened_at = Instant::now();
        let client = self.connector.connect().map_err(|_| Error::Unavailable)?;
        self.connection = Some(Connection::new(client, opened_at, self.monitor.clone()));
        Ok(())
    }

    fn query(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<postgres::Row>, Error> {
        self.connection.as_mut().ok_or(Error::Unavailable)?.query(statement, parameters)
    }

    /// Executes a statement for claims and returns the claims of its rows: `many` for all of them, or `one` for each alone where the
    /// tables are distributed.
    fn for_claims(&mut self, claims: &[(&Uuid, &Uuid)], one: &str, many: &str) -> Result<Vec<Uuid>, Error> {
        let mut rows = Vec::new();
        if self.is_distributed {
            for (session, claim) in claims {
                rows.extend(self.query(one, &[(*session, Type::UUID), (*claim, Type::UUID)])?);
            }
        } else if !claims.is_empty() {
            let (sessions, claims): (Vec<&Uuid>, Vec<&Uuid>) = claims.iter().copied().unzip();
            rows = self.query(many, &[(&sessions, Type::UUID_ARRAY), (&claims, Type::UUID_ARRAY)])?;
        }
        Ok(rows.iter().map(|row| row.get("claim")).collect())
    }

    /// Returns the claims that are deleted.
    fn release(&mut self, released: &[Released]) -> Result<Vec<Uuid>, Error> {
        let claims: Vec<_> = released.iter().map(|it| (it.session.expose(), &it.claim)).collect();
        let (one, many) =
            (include_str!("../../sql/turns/release.sql"), include_str!("../../sql/turns/release_many.sql"));
        self.for_claims(&claims, one, many)
    }

    /// Asks for the stop of a turn, and returns its claim; `None` where none runs.
    fn stop(&mut self, session: Lookup) -> Result<Option<Uuid>, Error> {
        let statement = include_str!("../../sql/turns/stop.sql");
        let rows = self.query(statement, &[(session.expose(), Type::UUID)])?;
        Ok(rows.first().map(|row| row.get("claim")))
    }

    /// Reads the sessions that exist, takes the claims again that a crash of the server has emptied, and when it is due, renews them and
    /// deletes those that no instance has renewed.
    fn look(&mut self, running: &HashMap<Uuid, Running>, waiting: &[Waiting]) -> Result<HashMap<Uuid, Found>, Error> {
        let held: Vec<(&Uuid, &Uuid, i32)> =
            running.iter().filter_map(|(claim, it)| Some((it.session.expose(), claim, it.position?))).collect();
        if self.renewed_at.elapsed() >= RENEWAL_INTERVAL {
            self.renewed_at = Instant::now();
            let claims: Vec<_> = held.iter().map(|(session, claim, _)| (*session, *claim)).collect();
            let (one, many) =
                (include_str!("../../sql/turns/renew.sql"), include_str!("../../sql/turns/renew_many.sql"));
            self.for_claims(&claims, one, many)?;
        }
        let mut sessions: Vec<&Uuid> = running.values().map(|it| it.session.expose()).collect();
        sessions.extend(waiting.iter().map(|it| it.session.expose()));
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.query(include_str!("../../sql/turns/watch.sql"), &[(&sessions, Type::UUID_ARRAY)])?;
        let found = |row: &postgres::Row| Found {
            claim: row.get("claim"),
            is_stopped: row.get::<_, Option<bool>>("is_stopped") == Some(true),
            is_live: row.get::<_, Option<bool>>("is_live") == Some(true),
        };
        let found: HashMap<Uuid, Found> = rows.iter().map(|row| (row.get("session_id"), found(row))).collect();
        let is_lost = |session: &Uuid| found.get(session).is_some_and(|found| found.claim.is_none());
        for (session, claim, position) in held.into_iter().filter(|(session, ..)| is_lost(session)) {
            let [session, claim] = [session, claim].map(|id| (id as _, Type::UUID));
            let restore = include_str!("../../sql/turns/restore.sql");
            match self.query(restore, &[session, (&position, Type::INT4), claim]) {
                // It was erased since.
                Ok(_) | Err(Error::NoSession) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

/// What a look says of a turn.
fn event(found: &HashMap<Uuid, Found>, claim: &Uuid, running: &Running) -> Option<ClaimEvent> {
    let Some(found) = found.get(running.session.expose()) else { return Some(ClaimEvent::Erased) };
    match found.claim {
        // A turn without a claim takes none over.
        Some(_) if running.position.is_none() => None,
        Some(current) if current != *claim => Some(ClaimEvent::TakenOver),
        Some(_) if found.is_stopped => Some(ClaimEvent::Stopped),
        _ => None,
    }
}

/// Calls back once the turn is over that the caller waits for: its claim is gone, has ended, or is another turn's.
fn go_on_waiting(shared: &Shared, found: &HashMap<Uuid, Found>, waiting: Waiting) {
    let Some(session) = found.get(waiting.session.expose()) else { return (waiting.callback)(Ok(false)) };
    match session.claim.filter(|_| session.is_live) {
        Some(current) if waiting.claim.is_none_or(|claim| claim == current) => {
            shared.wait(Waiting { claim: Some(current), ..waiting });
        }
        _ => (waiting.callback)(Ok(true)),
    }
}

/// Calls back for the claims that are deleted, and tries the others once more: their rows were locked, or have another claim.
fn finish_released(shared: &Shared, released: Vec<Released>, result: &Result<Vec<Uuid>, Error>) {
    for mut of_turn in released {
        if let Some(callback) = of_turn.callback.take() {
            callback(result.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        if !of_turn.is_second_try && !result.as_ref().is_ok_and(|deleted| deleted.contains(&of_turn.claim)) {
            shared.release(Released { is_second_try: true, ..of_turn });
        }
    }
}
