//! What a turn is given, the events that it sends, and their delivery.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::companion::{Safety, Unavailable};
use crate::message::Message;
use crate::peers::PeerKey;
use crate::sealing::{Lookup, OpenError, Part, SealingKey};
use crate::store::Error;
use crate::sync::CancellationToken;

/// The user's message and how to answer it.
pub struct Question {
    /// The session's keys.
    pub key: SealingKey,
    /// The text.
    pub text: String,
    /// The client's `Idempotency-Key`: a question sent again with it gets the stored answer.
    pub idempotency_key: Option<String>,
    /// The client's network, where its address tells it apart from others.
    pub peer: Option<PeerKey>,
    /// Cancelled when the client is gone. The turn goes on, but gives way to turns that wait for the companion.
    pub disconnect: CancellationToken,
    /// When the request arrived; the timeout of the turn counts from here.
    pub received_at: Instant,
}

impl Question {
    /// The id of the question, if it has an idempotency key.
    pub(super) fn keyed_id(&self) -> Option<Uuid> {
        self.idempotency_key.as_ref().map(|key| self.key.message_id(Part::Question, key.as_bytes()))
    }
}

/// Among whom the companion is shared fairly.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ClientKey {
    Peer(PeerKey),
    /// Where the peer is not known. A session has one turn at a time.
    Session(Lookup),
}

impl ClientKey {
    pub(super) fn new(peer: Option<PeerKey>, session: Lookup) -> ClientKey {
        peer.map_or(ClientKey::Session(session), ClientKey::Peer)
    }
}

/// Progress of a turn, in this order: `Started`, `Delta` and `Reset` perhaps, then exactly one of `Finished` and `Failed`.
pub enum Event {
    /// The companion is called, or, where the question speaks of danger, waits for its permit. The answer will have this id. What was
    /// found of danger comes with it.
    Started(Uuid, Option<Safety>),
    /// The next piece of the answer.
    Delta(String),
    /// The pieces so far are not the answer: those that follow are.
    Reset,
    /// Terminal: the answer as it is stored, by this turn or an earlier one, and what was found of danger in the question. It comes alone
    /// where the answer was stored before anything of it was sent.
    Finished(Message, Option<Safety>),
    /// Terminal: there is no answer.
    Failed(Failure),
}

/// Called for every event, on the turn's thread, the timers' thread or that of a batch's leader; must not block.
pub type EventHandler = Box<dyn FnMut(Event) + Send>;

/// Delivers events to the client until the first terminal one; later events are dropped. All clones share one handler.
#[derive(Clone)]
pub(super) struct EventSink(Arc<Mutex<Option<EventHandler>>>);

impl EventSink {
    pub(super) fn new(handler: EventHandler) -> EventSink {
        EventSink(Arc::new(Mutex::new(Some(handler))))
    }

    pub(super) fn send(&self, event: Event) {
        let mut handler = self.0.lock();
        if matches!(event, Event::Finished(..) | Event::Failed(_)) {
            let last = handler.take();
            drop(handler);
            if let Some(mut handler) = last {
                handler(event);
            }
        } else if let Some(handler) = handler.as_mut() {
            handler(event);
        }
    }
}

/// Why a turn has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The session does not exist, or was erased meanwhile.
    NoSession,
    /// Another turn of this session runs.
    AlreadyRunning,
    /// The idempotency key belongs to a question with another text.
    KeyReused,
    /// The session has no room for the message and the longest answer.
    SessionFull,
    /// The storage is full, so the question was not stored.
    StorageFull,
    /// The turn was stopped, by its client or in favour of another, before the first piece of the answer.
    Stopped,
    /// No thread or no permit for the companion came free in time, or too many messages wait for the database.
    Overloaded,
    /// Too many turns of this peer are in progress.
    TooManyOfPeer,
    /// The companion gave no answer.
    Unavailable(Unavailable),
    /// The timeout of the turn expired.
    TimedOut,
    /// A statement failed.
    Store(Error),
    /// A stored message does not open.
    Unreadable,
}

impl Failure {
    /// The value of the metrics' label: `outcome` of a turn that began, or `reason` of one that was refused.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Failure::NoSession => "no_session",
            Failure::AlreadyRunning => "running",
            Failure::KeyReused => "other_message",
            Failure::SessionFull => "session_full",
            Failure::StorageFull => "storage_full",
            Failure::Stopped => "stopped",
            Failure::Overloaded => "crowded",
            Failure::TooManyOfPeer => "turns_in_progress",
            Failure::Unavailable(_) => "unavailable",
            Failure::TimedOut => "too_late",
            Failure::Store(_) | Failure::Unreadable => "not_stored",
        }
    }
}

impl Failure {
    /// Logs why the companion has no answer. It logs itself that its circuit opens, once for all turns.
    pub(super) fn log(&self) {
        if let Failure::Unavailable(reason) = self
            && !matches!(reason, Unavailable::CircuitOpen(_))
        {
            log::warn!(reason:%; "The companion has no answer");
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        if error == Error::NoSession { Failure::NoSession } else { Failure::Store(error) }
    }
}

impl From<OpenError> for Failure {
    fn from(_: OpenError) -> Failure {
        Failure::Unreadable
    }
}
