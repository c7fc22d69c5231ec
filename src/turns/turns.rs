//! Starts, stops and erases turns, and waits for them at shutdown.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::active_turns::{ActiveTurns, TurnGuard, WaitOutcome, Work};
use super::event::{ClientKey, Event, EventHandler, EventSink, Failure, Question};
use super::fair_semaphore::FairSemaphore;
use super::resources::Resources;
use super::scripted::ScriptedTurn;
use super::turn::{Answer, Turn};
use crate::companion::{Companion, Safety};
use crate::config::{RetentionSettings, SessionLimits};
use crate::message::Message;
use crate::metrics::Metrics;
use crate::peers::{PeerLimit, PeerPermit};
use crate::retention::Life;
use crate::sealing::{Lookup, SealingKey};
use crate::store::{Callback, Caller, Erased, Error, Exchanged, Recent, Row, Store, StoredSession};
use crate::sync::{ThreadPool, ThreadPoolSettings, Timer, Timers};

/// Threads beyond `TurnLimits::concurrency`, for turns that wait for a permit or for the database.
const EXTRA_THREADS: usize = 224;

/// Turns that wait for a permit at most. The other threads are for turns that wait for the database, and come to wait for a
/// permit behind them.
const MAX_WAITING: usize = 160;

/// One peer has at most this part of the threads, so that its turns leave most of them to others whatever they wait for.
const PEER_THREADS_DIVISOR: usize = 8;

/// Bounds of all turns.
#[derive(Debug, Clone, Copy)]
pub struct TurnLimits {
    /// From a request to its terminal event.
    pub timeout: Duration,
    /// Calls to the companion at the same time.
    pub concurrency: usize,
    /// The size of a session.
    pub session: SessionLimits,
    /// When a session ends.
    pub retention: RetentionSettings,
}

/// All turns of the service.
pub struct Turns {
    pub(super) resources: Resources,
    pub(super) active: ActiveTurns,
    pub(super) peer_turns: PeerLimit,
    timers: Timers,
    /// Each turn holds a clone of the sender from `start` to its terminal event, also while it waits for a thread. So the
    /// receiver is disconnected once all turns are over. `None` after `close`.
    open: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

/// A turn from its request to its terminal event.
struct PendingTurn {
    timer: Timer,
    question: Question,
    /// `None` while another turn of the session runs here.
    guard: Option<TurnGuard>,
    peer_turn: Option<PeerPermit>,
    sink: EventSink,
    open: Sender<()>,
}

impl PendingTurn {
    /// Counts an answer that is stored with its question, unless the session was erased since.
    fn answered(&self, turns: &Turns, message: Message, safety: Option<Safety>) -> Result<Answer, Failure> {
        if self.guard.as_ref().and_then(TurnGuard::failure) == Some(Failure::NoSession) {
            return Err(Failure::NoSession);
        }
        if let Some(safety) = safety {
            turns.resources.metrics.safety(safety.level.label());
        }
        Ok(Answer { message, is_fallback: false })
    }

    /// `safety`: what was found of danger in the question.
    fn finish(self, turns: &Turns, result: Result<Answer, Failure>, safety: Option<Safety>) {
        let PendingTurn { timer, question, guard, peer_turn, sink, open } = self;
        turns.record(&result, question.received_at.elapsed());
        // Before the terminal event: the client's next message may follow at once.
        drop(peer_turn);
        if let Some(mut guard) = guard {
            guard.session_exists = match &result {
                Err(Failure::NoSession) => Ok(false),
                Err(Failure::Store(error)) => Err(error.clone()),
                _ => Ok(true),
            };
        }
        sink.send(match result {
            Ok(answer) => Event::Finished(answer.message, safety),
            Err(failure) => Event::Failed(failure),
        });
        drop((timer, open));
    }
}

impl Turns {
    /// No turn yet.
    #[must_use]
    pub fn new(store: Arc<Store>, companion: Companion, limits: TurnLimits, metrics: Arc<Metrics>) -> Arc<Turns> {
        let threads = ThreadPoolSettings {
            name: "turn",
            max_threads: limits.concurrency + EXTRA_THREADS,
            max_queued: 1024,
            idle_timeout: Duration::from_secs(10),
            // Little more than a TLS handshake needs.
            stack_bytes: 512 * 1024,
        };
        let resources = Resources {
            store,
            companion,
            metrics,
            timeout: limits.timeout,
            session_limits: limits.session,
            retention: limits.retention,
            permits: FairSemaphore::new(limits.concurrency, MAX_WAITING, limits.timeout),
            threads: ThreadPool::new(threads),
        };
        Arc::new(Turns {
            resources,
            active: ActiveTurns::default(),
            peer_turns: PeerLimit::new(threads.max_threads / PEER_THREADS_DIVISOR),
            timers: Timers::default(),
            open: Mutex::new(Some(mpsc::channel())),
        })
    }

    /// What answers.
    #[must_use]
    pub fn companion(&self) -> &Companion {
        &self.resources.companion
    }

    /// Starts a turn, which runs once its session is found; does not block. `handler` receives a terminal event within the
    /// timeout, whatever the turn waits for; the turn itself may outlast that.
    pub fn start(self: &Arc<Turns>, question: Question, handler: EventHandler) {
        let sink = EventSink::new(handler);
        let Some(open) = self.open() else {
            return sink.send(Event::Failed(Failure::Overloaded));
        };
        if self.resources.store.messages.is_crowded() {
            self.record(&Err(Failure::Overloaded), question.received_at.elapsed());
            return sink.send(Event::Failed(Failure::Overloaded));
        }
        let Ok(peer_turn) = self.peer_turns.begin(question.peer) else {
            let failure = Failure::TooManyOfPeer;
            self.resources.metrics.refused(failure.label());
            return sink.send(Event::Failed(failure));
        };
        let late = sink.clone();
        let timer = self.timers.schedule(question.received_at + self.resources.timeout, move || {
            late.send(Event::Failed(Failure::TimedOut));
        });
        self.begin(PendingTurn { timer, question, guard: None, peer_turn, sink, open });
    }

    /// Reads the session of a turn, then answers it: at once, or on a thread.
    fn begin(self: &Arc<Turns>, mut pending: PendingTurn) {
        let question = &pending.question;
        // Before anything is read, so that no other turn of the session writes after that, and that a stop or an erasure
        // finds a turn that has no thread yet.
        let (session, client) = (question.key.lookup(), ClientKey::new(question.peer, question.key.lookup()));
        let work = Work::Answer(question.keyed_id());
        pending.guard = self.active.register(session, client, &question.disconnect, work);
        if pending.guard.is_none() && work == Work::Answer(None) {
            return pending.finish(self, Err(Failure::AlreadyRunning), None);
        }
        let turns = self.clone();
        // Anybody can invent the id of a session: such a message takes neither a thread nor a second statement.
        let found = move |recent: Result<Option<Recent>, Error>| {
            let key = &pending.question.key;
            match recent.map_err(Failure::from).and_then(|recent| turns.resources.living(key, recent)) {
                Ok(recent) => turns.answer(pending, recent),
                Err(failure) => pending.finish(&turns, Err(failure), None),
            }
        };
        self.resources.read_recent(session, Box::new(found));
    }

    /// Answers a turn at once where the script can do that; otherwise a thread runs it.
    fn answer(self: &Arc<Turns>, pending: PendingTurn, recent: Recent) {
        if self.resources.companion.has_model() || !self.resources.store.messages.can_exchange() {
            return self.execute(pending, Some(recent.rows), recent.is_stale);
        }
        let turn = Turn::new(&self.resources, &pending.question, pending.guard.as_ref(), &pending.sink);
        let Some(ScriptedTurn { exchange, answer }) = turn.scripted(&recent) else {
            return self.execute(pending, Some(recent.rows), recent.is_stale);
        };
        let (turns, safety) = (self.clone(), turn.safety);
        let stored = move |result: Result<Exchanged, Error>| {
            let result = match result {
                // Another turn was faster, here or at another instance; perhaps it has stored this question.
                Ok(Exchanged::Refused) => return turns.execute(pending, None, false),
                Ok(Exchanged::Stored) => pending.answered(&turns, answer, safety),
                Ok(Exchanged::NoSession) => Err(Failure::NoSession),
                Err(error) => Err(error.into()),
            };
            pending.finish(&turns, result, safety);
        };
        self.resources.store.messages.exchange(exchange, Box::new(stored));
    }

    /// Begins a turn once more when the turn is over that has its session, here or at another instance. It holds no thread until then.
    fn begin_later(self: &Arc<Turns>, mut pending: PendingTurn) {
        let (session, turns) = (pending.question.key.lookup(), self.clone());
        if let Some(mut guard) = pending.guard.take() {
            guard.session_exists = Ok(true);
            drop(guard);
            let over = move |exists: Result<bool, Error>| match exists {
                Ok(_) => turns.begin(pending),
                Err(error) => pending.finish(&turns, Err(error.into()), None),
            };
            return self.resources.store.claims.wait(session, Box::new(over));
        }
        let mut pending = Some(pending);
        let outcome = self.active.wait(session, || {
            let pending = pending.take();
            Box::new(move |_| pending.into_iter().for_each(|pending| turns.begin(pending)))
        });
        let Some(pending) = pending else { return };
        if outcome == WaitOutcome::NotRunning {
            self.begin(pending);
        } else {
            pending.finish(self, Err(Failure::AlreadyRunning), None);
        }
    }

    /// What [`Turns::close`] waits for until it is dropped; `None` after `close`.
    pub(super) fn open(&self) -> Option<Sender<()>> {
        self.open.lock().as_ref().map(|(sender, _)| sender.clone())
    }

    /// Runs a turn on a thread of its own. `recent`: the newest messages of its session, if they are to be used.
    fn execute(self: &Arc<Turns>, pending: PendingTurn, recent: Option<Vec<Row>>, is_stale: bool) {
        let (turns, sink, received_at) = (self.clone(), pending.sink.clone(), pending.question.received_at);
        // Turns that wait for a thread would hold much memory; they read the messages again.
        let recent = recent.filter(|_| !self.resources.threads.is_saturated());
        let started = self.resources.threads.execute(move || {
            let PendingTurn { question, guard, sink, .. } = &pending;
            let turn = Turn::new(&turns.resources, question, guard.as_ref(), sink);
            let session = question.key.lookup();
            let result = turn.run(recent, is_stale, |question| turns.active.runs_another(session, question));
            let safety = turn.safety;
            match result.transpose() {
                Some(result) => pending.finish(&turns, result, safety),
                None => turns.begin_later(pending),
            }
        });
        if started.is_err() {
            let overloaded = Failure::Overloaded;
            self.record(&Err(overloaded.clone()), received_at.elapsed());
            sink.send(Event::Failed(overloaded));
        }
    }

    /// Stops the turn of a session, whichever instance runs it. `callback` receives whether the session exists: once the turn is over
    /// and its answer so far is stored, or from the store where none runs.
    pub fn stop(&self, key: SealingKey, callback: Callback<bool>) {
        let (session, policy, store) = (key.lookup(), self.resources.retention, self.resources.store.clone());
        if let Some(callback) = self.active.cancel(session, Failure::Stopped, Some(callback)) {
            // A session that does not open has not ended.
            let exists = move |session: StoredSession| Life::open(policy, &key, &session) != Ok(None);
            let found = move |found: Result<Option<StoredSession>, Error>| match found.map(|it| it.is_some_and(exists))
            {
                Ok(true) => store.claims.stop(session, callback),
                found => callback(found),
            };
            self.resources.store.sessions.find(session, Box::new(found));
        }
    }

    /// Erases a session: its rows, then its turn with the call to the companion. `callback` receives `None`
    /// if the session did not exist. Where the rows may still be there, the turn goes on.
    pub fn erase(&self, session: Lookup, caller: Caller, callback: Callback<Option<Erased>>) {
        let active = self.active.clone();
        let erased = move |erased: Result<Option<Erased>, Error>| {
            if erased.is_ok() {
                active.cancel(session, Failure::NoSession, None);
            }
            callback(erased);
        };
        self.resources.store.sessions.delete(session, caller, Box::new(erased));
    }

    /// Starts no more turns, waits for the open ones until the deadline, cancels the calls of the rest, and ends what still waits for
    /// another instance.
    pub fn close(&self, deadline: Instant) {
        let open = self.open.lock().take();
        if let Some((sender, receiver)) = open {
            drop(sender);
            let _ = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        self.active.cancel_all();
        self.resources.store.claims.end_waiting();
    }

    fn record(&self, result: &Result<Answer, Failure>, duration: Duration) {
        let outcome = match result {
            Ok(Answer { is_fallback: false, .. }) => "answered",
            Ok(Answer { is_fallback: true, .. }) => "answered_by_script",
            Err(failure) => failure.label(),
        };
        self.resources.metrics.turn(outcome, duration);
        if let Err(failure) = result {
            failure.log();
        }
    }
}
