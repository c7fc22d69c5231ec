//! The claims' thread: looks at the sessions of the turns of this instance, renews and releases their claims, and stops turns.
//!
//! A look comes first, and at its time: on one server everything else of a round has one statement for all sessions, which passes over
//! locked rows; where the tables are distributed, one statement for each session, and those that are left when the next look is due
//! wait for the next round.

use std::collections::HashMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::types::Type;
use uuid::Uuid;

use super::running::{ClaimEvent, Look, RENEWAL_INTERVAL, Released, Round, Running, Shared, Waiting};
use crate::config::PoolSettings;
use crate::memory::overwrite_stack;
use crate::store::connection::Connection;
use crate::store::connector::Connector;
use crate::store::error::Error;
use crate::store::fault_monitor::FaultMonitor;
use crate::store::statements::Parameter;

/// The time for each statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The statements of one file for one claim, and for several.
type Statements = [&'static str; 2];

const RELEASE: Statements =
    [include_str!("../../../sql/turns/release.sql"), include_str!("../../../sql/turns/release_many.sql")];
const RENEW: Statements =
    [include_str!("../../../sql/turns/renew.sql"), include_str!("../../../sql/turns/renew_many.sql")];
const STOP: Statements =
    [include_str!("../../../sql/turns/stop.sql"), include_str!("../../../sql/turns/stop_many.sql")];

/// Owned by the claims' thread.
pub(super) struct Watcher {
    connector: Connector,
    monitor: Arc<FaultMonitor>,
    is_distributed: bool,
    /// `None` after a failure, and before the first turn.
    connection: Option<Connection>,
    /// When each claim was last renewed.
    renewed: HashMap<Uuid, Instant>,
}

/// A session as a look finds it, with the claim that it has.
struct Found {
    claim: Option<Uuid>,
    is_stopped: bool,
    is_live: bool,
}

impl Watcher {
    pub(super) fn new(connector: &Connector, monitor: &Arc<FaultMonitor>, settings: &PoolSettings) -> Watcher {
        Watcher {
            connector: connector.clone().with_statement_timeout(STATEMENT_TIMEOUT),
            monitor: monitor.clone(),
            is_distributed: settings.is_distributed,
            connection: None,
            renewed: HashMap::new(),
        }
    }

    pub(super) fn run(&mut self, shared: &Shared) {
        let (mut last_look, mut failures) = (Instant::now(), 0);
        while let Some(mut round) = shared.next_round(last_look, failures) {
            if let Some(look) = &round.look {
                last_look = look.began_at;
            }
            // The driver can panic. The round keeps the callers that are not answered.
            let result = catch_unwind(AssertUnwindSafe(|| self.work(shared, &mut round)));
            if let Err(error) = result.unwrap_or(Err(Error::Unavailable)) {
                failures = failures.saturating_add(1);
                last_look = Instant::now();
                // The pool and the fault monitor log why.
                self.connection = None;
                shared.give_back(round, &error);
            } else {
                failures = 0;
            }
            // Turns begin again on this thread.
            overwrite_stack();
        }
        shared.end_thread();
    }

    fn work(&mut self, shared: &Shared, round: &mut Round) -> Result<(), Error> {
        self.connect()?;
        if let Some(look) = &mut round.look {
            self.look(shared, look, round.deadline)?;
        }
        self.release(shared, &mut round.released, round.deadline)?;
        self.begin_stops(shared, &mut round.stops, round.deadline)
    }

    fn connect(&mut self) -> Result<(), Error> {
        let timeout = STATEMENT_TIMEOUT;
        if self.connection.as_mut().is_some_and(|connection| connection.probe_if_stale(timeout).is_ok()) {
            return Ok(());
        }
        self.connection = None;
        let opened_at = Instant::now();
        let client = self.connector.connect().map_err(|_| Error::Unavailable)?;
        self.connection = Some(Connection::new(client, &self.connector, opened_at, self.monitor.clone()));
        Ok(())
    }

    fn query(&mut self, statement: &'static str, parameters: &[Parameter<'_>]) -> Result<Vec<postgres::Row>, Error> {
        self.connection.as_mut().ok_or(Error::Unavailable)?.query(statement, parameters)
    }

    /// Executes a statement for claims of sessions. Returns for how many of them, and the claims of its rows: for all, or where the
    /// tables are distributed for one after the other until the deadline, at least one.
    fn for_claims(
        &mut self,
        claims: &[(&Uuid, &Uuid)],
        deadline: Instant,
        [one, many]: Statements,
    ) -> Result<(usize, Vec<Uuid>), Error> {
        let (mut rows, mut count) = (Vec::new(), claims.len());
        if self.is_distributed {
            for (index, (session, claim)) in claims.iter().enumerate() {
                if index > 0 && Instant::now() >= deadline {
                    count = index;
                    break;
                }
                rows.extend(self.query(one, &[(*session, Type::UUID), (*claim, Type::UUID)])?);
            }
        } else if !claims.is_empty() {
            let (sessions, claims): (Vec<&Uuid>, Vec<&Uuid>) = claims.iter().copied().unzip();
            rows = self.query(many, &[(&sessions, Type::UUID_ARRAY), (&claims, Type::UUID_ARRAY)])?;
        }
        Ok((count, rows.iter().map(|row| row.get("claim")).collect()))
    }

    /// Reads those of these sessions that exist.
    fn find(&mut self, sessions: &[&Uuid]) -> Result<HashMap<Uuid, Found>, Error> {
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.query(include_str!("../../../sql/turns/watch.sql"), &[(&sessions, Type::UUID_ARRAY)])?;
        let found = |row: &postgres::Row| Found {
            claim: row.get("claim"),
            is_stopped: row.get::<_, Option<bool>>("is_stopped") == Some(true),
            is_live: row.get::<_, Option<bool>>("is_live") == Some(true),
        };
        Ok(rows.iter().map(|row| (row.get("session_id"), found(row))).collect())
    }

    /// Tells the turns what became of their sessions and the callers which turns are over; then renews the claims.
    fn look(&mut self, shared: &Shared, look: &mut Look, deadline: Instant) -> Result<(), Error> {
        let of_turns = look.running.values().map(|it| it.session.expose());
        let sessions: Vec<&Uuid> = of_turns.chain(look.waiting.iter().map(|it| it.session.expose())).collect();
        let found = self.find(&sessions)?;
        for (claim, running) in &look.running {
            if let Some(event) = event(&found, claim, running) {
                (running.on_event)(event);
            }
        }
        shared.note_look(look.began_at);
        let to_stop = answer(shared, &found, mem::take(&mut look.waiting));
        self.renew(&look.running, deadline)?;
        self.restore(&look.running, &found, deadline)?;
        self.stop(&to_stop, deadline)
    }

    /// Renews the claims once in [`RENEWAL_INTERVAL`], the one that was renewed the longest ago first.
    fn renew(&mut self, running: &HashMap<Uuid, Running>, deadline: Instant) -> Result<(), Error> {
        let now = Instant::now();
        self.renewed.retain(|claim, _| running.contains_key(claim));
        let mut held: Vec<(Instant, &Uuid, &Uuid)> = running
            .iter()
            .filter(|(_, it)| it.position.is_some())
            .map(|(claim, it)| (*self.renewed.get(claim).unwrap_or(&it.claimed_at), it.session.expose(), claim))
            .collect();
        held.sort_unstable_by_key(|(renewed_at, ..)| *renewed_at);
        if held.first().is_none_or(|(renewed_at, ..)| now.duration_since(*renewed_at) < RENEWAL_INTERVAL) {
            return Ok(());
        }
        let claims: Vec<_> = held.into_iter().map(|(_, session, claim)| (session, claim)).collect();
        let (count, _) = self.for_claims(&claims, deadline, RENEW)?;
        self.renewed.extend(claims[..count].iter().map(|(_, claim)| (**claim, now)));
        Ok(())
    }

    /// Takes the claims again that a crash of the server has emptied.
    fn restore(
        &mut self,
        running: &HashMap<Uuid, Running>,
        found: &HashMap<Uuid, Found>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let is_lost = |it: &Running| found.get(it.session.expose()).is_some_and(|found| found.claim.is_none());
        for (claim, it) in running.iter().filter(|(_, it)| is_lost(it)).take_while(|_| Instant::now() < deadline) {
            let Some(position) = it.position else { continue };
            let [session, claim] = [it.session.expose(), claim].map(|id| (id as _, Type::UUID));
            let restore = include_str!("../../../sql/turns/restore.sql");
            match self.query(restore, &[session, (&position, Type::INT4), claim]) {
                // It was erased since.
                Ok(_) | Err(Error::NoSession) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn release(&mut self, shared: &Shared, released: &mut Vec<Released>, deadline: Instant) -> Result<(), Error> {
        let claims: Vec<_> = released.iter().map(|it| (it.session.expose(), &it.claim)).collect();
        let (count, deleted) = self.for_claims(&claims, deadline, RELEASE)?;
        let left = released.split_off(count);
        for released in released.drain(..) {
            let is_deleted = deleted.contains(&released.claim);
            shared.finish_release(released, Ok(is_deleted));
        }
        left.into_iter().for_each(|released| shared.release(released));
        Ok(())
    }

    /// Answers the callers of sessions without a turn, and has the turns of the others stopped. They wait for the end of their turn.
    fn begin_stops(&mut self, shared: &Shared, stops: &mut Vec<Waiting>, deadline: Instant) -> Result<(), Error> {
        let sessions: Vec<&Uuid> = stops.iter().map(|stop| stop.session.expose()).collect();
        let found = self.find(&sessions)?;
        let to_stop = answer(shared, &found, mem::take(stops));
        self.stop(&to_stop, deadline)
    }

    /// Asks for the stop of turns: sessions by claim. A row that is locked is tried again after the next look.
    fn stop(&mut self, to_stop: &HashMap<Uuid, Uuid>, deadline: Instant) -> Result<(), Error> {
        let claims: Vec<_> = to_stop.iter().map(|(claim, session)| (session, claim)).collect();
        self.for_claims(&claims, deadline, STOP).map(|_| ())
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

/// Calls back where the turn is over that the caller waits for: its claim is gone, has ended, or is another turn's. The others wait on.
/// Returns the turns that they want stopped, and that are not yet: sessions by claim.
fn answer(shared: &Shared, found: &HashMap<Uuid, Found>, waiting: Vec<Waiting>) -> HashMap<Uuid, Uuid> {
    let mut to_stop = HashMap::new();
    for caller in waiting {
        let Some(session) = found.get(caller.session.expose()) else {
            (caller.callback)(Ok(false));
            continue;
        };
        match session.claim.filter(|_| session.is_live) {
            Some(current) if caller.claim.is_none_or(|claim| claim == current) => {
                if caller.is_stop && !session.is_stopped {
                    to_stop.insert(current, *caller.session.expose());
                }
                shared.wait(Waiting { claim: Some(current), ..caller });
            }
            _ => (caller.callback)(Ok(true)),
        }
    }
    to_stop
}
