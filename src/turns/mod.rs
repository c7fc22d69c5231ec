//! The life of a turn: what a person said is stored, the companion is asked, its answer is stored.
//!
//! Each turn has a thread, and blocks it: to store, to wait for its place with the companion, to listen. No connection to the
//! database is held meanwhile. Whoever waits for the answer is told of it by [`Event`]s, and may go away.
//!
//! - `turn`: one turn, from top to bottom.
//! - `audience`: whoever waits, until they are told of an end.
//! - `running`: one turn for each session at a time, and what ends it from outside.
//! - `places`: how many are with the companion at once.
//! - `threads`: what turns run in.
//! - `alarm`: who waits is told in time, whatever the turn's thread is stuck on.

mod alarm;
mod audience;
mod places;
mod running;
mod threads;
mod turn;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::companion::{Companion, Unavailable};
use crate::conversation::Message;
use crate::metrics::Metrics;
use crate::sealing::{Lookup, Seal, Unreadable};
use crate::store::{Database, Error};
use alarm::Alarms;
use audience::Audience;
use places::Places;
pub use running::Over;
use running::{Ending, Running};
use threads::Threads;

/// What a person said, and the bounds of the answer.
pub struct Question {
    /// The session.
    pub seal: Seal,
    /// The words.
    pub text: String,
    /// What the client calls this request, if it means to send it again.
    pub key: Option<String>,
    /// Whether each piece of the answer is waited for.
    pub is_streamed: bool,
    /// When the request came.
    pub since: Instant,
}

/// What whoever waits is told, in this order: perhaps that it begins, what is said, and one of the two ends.
pub enum Event {
    /// The companion is asked; the answer will have this id.
    Began(Uuid),
    /// It said this.
    Said(String),
    /// The answer, as it is stored now or was before.
    Ended(Message),
    /// There is none.
    Failed(Failure),
}

/// Is told. It must not block.
pub type Tell = Box<dyn FnMut(Event) + Send>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no such session, or not any more.
    NoSession,
    /// Another turn runs in this session.
    Running,
    /// This key came with another message before.
    OtherMessage,
    /// The turn was stopped before anything was said.
    Stopped,
    /// More turns than there is room for.
    Crowded,
    /// The companion has no answer.
    Unavailable(Unavailable),
    /// The time for an answer is over.
    TooLate,
    /// The database.
    Store(Error),
    /// What is stored does not open.
    Unreadable,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Store(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(_: Unreadable) -> Failure {
        Failure::Unreadable
    }
}

impl Failure {
    /// A word for it, one of few.
    fn name(&self) -> &'static str {
        match self {
            Failure::NoSession => "no_session",
            Failure::Running => "running",
            Failure::OtherMessage => "other_message",
            Failure::Stopped => "stopped",
            Failure::Crowded => "crowded",
            Failure::Unavailable(_) => "unavailable",
            Failure::TooLate => "too_late",
            Failure::Store(_) | Failure::Unreadable => "not_stored",
        }
    }
}

/// How turns are bounded.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From a request to its answer.
    pub timeout: Duration,
    /// Turns that are with the companion at once.
    pub concurrency: usize,
}

/// All turns of the service.
pub struct Turns {
    database: Arc<Database>,
    companion: Box<dyn Companion>,
    metrics: Arc<Metrics>,
    timeout: Duration,
    places: Places,
    running: Running,
    threads: Threads,
    alarms: Alarms,
    in_progress: Mutex<InProgress>,
    /// Told when the last one is over.
    all_over: Condvar,
}

#[derive(Default)]
struct InProgress {
    count: usize,
    closed: bool,
}

impl Turns {
    /// Turns with this companion.
    #[must_use]
    pub fn new(
        database: Arc<Database>,
        companion: Box<dyn Companion>,
        bounds: Bounds,
        metrics: Arc<Metrics>,
    ) -> Arc<Turns> {
        Arc::new(Turns {
            database,
            companion,
            metrics,
            timeout: bounds.timeout,
            places: Places::new(bounds.concurrency),
            running: Running::default(),
            threads: Threads::new(bounds.concurrency),
            alarms: Alarms::default(),
            in_progress: Mutex::default(),
            all_over: Condvar::new(),
        })
    }

    /// Begins a turn. `tell` is told of its end within the time for an answer, whatever happens.
    pub fn begin(self: &Arc<Turns>, question: Question, tell: Tell) {
        let audience = Audience::new(tell);
        let Some(progress) = Progress::begin(self) else {
            return audience.tell(Event::Failed(Failure::Crowded));
        };
        let late = audience.clone();
        let alarm = self.alarms.set(question.since + self.timeout, move || {
            late.tell(Event::Failed(Failure::TooLate));
        });
        // At once, so that whoever ends the turn from outside finds it, wherever it has got to.
        let claim = self.running.claim(question.seal.lookup());
        let waiting = audience.clone();
        let has_room = self.threads.run(Box::new(move || {
            let _alarm = alarm;
            let turns = &progress.0;
            let result = turns.run(&question, claim.as_ref(), &waiting);
            turns.note(&result, question.since.elapsed());
            // Before the answer is told: the next message may follow at once.
            if let Some(claim) = claim {
                claim.end(&is_there(&result));
            }
            waiting.tell(result.map_or_else(Event::Failed, Event::Ended));
        }));
        if !has_room {
            audience.tell(Event::Failed(Failure::Crowded));
        }
    }

    /// Stops the turn of a session. `over` is called when it is over and what was said is stored; where there is none, it
    /// is given back.
    #[must_use]
    pub fn stop(&self, session: Lookup, over: Over) -> Option<Over> {
        self.running.end(session, Ending::Stopped, Some(over))
    }

    /// Ends the turn of a session that is gone.
    pub fn forget(&self, session: Lookup) {
        self.running.end(session, Ending::Erased, None);
    }

    /// Begins no more turns, and waits until those in progress are over, or cuts them at the deadline.
    pub fn close(&self, deadline: Instant) {
        let mut in_progress = self.in_progress();
        in_progress.closed = true;
        let wait = deadline.saturating_duration_since(Instant::now());
        let waited = self.all_over.wait_timeout_while(in_progress, wait, |in_progress| in_progress.count > 0);
        drop(waited);
        self.running.cut_all();
    }

    fn in_progress(&self) -> MutexGuard<'_, InProgress> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, result: &Result<Message, Failure>, took: Duration) {
        let outcome = result.as_ref().map_or_else(Failure::name, |_| "answered");
        self.metrics.turn(outcome, took);
        // A companion that rests has been told of once.
        if let Err(Failure::Unavailable(reason)) = result
            && !matches!(reason, Unavailable::Resting(_))
        {
            log::warn!(reason:%; "The companion has no answer");
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.alarms.close();
    }
}

/// Whether the session was there at the end of its turn, as far as that is known.
fn is_there(result: &Result<Message, Failure>) -> Result<bool, Error> {
    match result {
        Err(Failure::NoSession) => Ok(false),
        Err(Failure::Store(error)) => Err(error.clone()),
        _ => Ok(true),
    }
}

/// Counts a turn for as long as it is in progress.
struct Progress(Arc<Turns>);

impl Progress {
    fn begin(turns: &Arc<Turns>) -> Option<Progress> {
        let mut in_progress = turns.in_progress();
        if in_progress.closed {
            return None;
        }
        in_progress.count += 1;
        Some(Progress(turns.clone()))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut in_progress = self.0.in_progress();
        in_progress.count -= 1;
        if in_progress.closed && in_progress.count == 0 {
            self.0.all_over.notify_all();
        }
    }
}
