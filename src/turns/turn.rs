//! One turn from top to bottom.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::active_turns::TurnGuard;
use super::event::{Event, EventSink, Failure, Question};
use super::resources::{MAX_CHAR_BYTES, Resources};
use crate::companion::{Call, ChatMessage, Finish, MAX_ANSWER_CHARS, Safety, Unavailable};
use crate::config::SessionLimits;
use crate::message::{self, Message, Role, sealed_bytes};
use crate::sealing::{Lookup, OpenError, Part};
use crate::store::{self, Appended, Asked, Callback, Claim, ClaimEvent, Error, NewQuestion, Row};

/// How long a turn without an answer waits until its claim is released, so that the next turn finds none. Then it has ended by itself.
const MAX_RELEASE_TIME: Duration = Duration::from_secs(5);

/// The end of a session: its newest message, and zeros where it has none.
#[derive(Clone, Copy, Default)]
pub(super) struct End {
    position: i32,
    /// Sealed bytes of all messages.
    total_bytes: i64,
}

/// One turn.
pub(super) struct Turn<'a> {
    pub(super) resources: &'a Resources,
    pub(super) question: &'a Question,
    /// `None` while another turn of the session runs here: then only a stored answer can be returned.
    pub(super) guard: Option<&'a TurnGuard>,
    sink: &'a EventSink,
    /// What was found of danger in the question.
    pub(super) safety: Option<Safety>,
    /// The text of the answer that the client has.
    shown: RefCell<String>,
}

/// How a turn was answered.
pub(super) struct Answer {
    /// The answer as it is stored.
    pub(super) message: Message,
    /// Whether the script replied because the model had no answer to a question that speaks of danger.
    pub(super) is_fallback: bool,
}

/// The ids of the two messages of a turn.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub(super) question: Uuid,
    pub(super) answer: Uuid,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        resources: &'a Resources,
        question: &'a Question,
        guard: Option<&'a TurnGuard>,
        sink: &'a EventSink,
    ) -> Turn<'a> {
        let safety = resources.companion.assess(&question.text);
        Turn { resources, question, guard, sink, safety, shown: RefCell::default() }
    }

    /// Runs the turn, and returns the answer as it is stored; `None` where another turn, perhaps of this very question, has the session:
    /// when that is over, this one can run again. `recent`: the newest messages, if they are read already. `is_stale`: whether the
    /// session was last used in an earlier hour. `runs_another`: whether a turn of another question than this one runs here.
    pub(super) fn run(
        &self,
        recent: Option<Vec<Row>>,
        is_stale: bool,
        runs_another: impl Fn(Uuid) -> bool,
    ) -> Result<Option<Answer>, Failure> {
        // It waited for its thread.
        self.check_time()?;
        // The history first: if another instance writes between the two reads, the position derived from it is taken.
        let (mut history, mut end) = match recent {
            _ if self.guard.is_none() => Default::default(),
            Some(rows) => self.open_history(&rows)?,
            None => self.read_history()?,
        };
        let (ids, is_resent) = self.ids(history.last());
        let is_resent = match self.find_earlier(ids)? {
            (Some(question), _) if question.text != self.question.text => return Err(Failure::KeyReused),
            (_, Some(message)) => return Ok(Some(Answer { message, is_fallback: false })),
            (question, None) => is_resent || question.is_some(),
        };
        let Some(guard) = self.guard else {
            let is_other = !is_resent && runs_another(ids.question);
            return if is_other { Err(Failure::AlreadyRunning) } else { Ok(None) };
        };
        self.check_room(end, is_resent)?;
        if is_stale {
            // Before any message is stored, so that the sweeper does not take the session with it.
            self.wait(|callback| self.resources.store.sessions.touch(self.session(), callback))?;
        }
        let claim = self.resources.store.claims.claim(self.session());
        if is_resent {
            // What is stored was accepted before, and gets its answer.
            if !self.wait(|callback| self.resources.store.claims.take(&claim, end.position, callback))? {
                return self.wait_or_fail(ids);
            }
            // A turn that was over before the claim was taken has perhaps answered it.
            let claimed_at = end.position;
            (history, end) = self.read_history()?;
            if end.position != claimed_at {
                return self.wait_or_fail(ids);
            }
        } else {
            if self.resources.store.watermark.is_full() {
                return Err(Failure::StorageFull);
            }
            self.check_time()?;
            let mut question = new_message(ids.question, Role::User, self.question.text.clone());
            match self.ask(&mut question, &mut end, claim.id())? {
                Asked::Stored => {}
                Asked::NoSession => return Err(Failure::NoSession),
                Asked::Claimed | Asked::PositionTaken => return self.wait_or_fail(ids),
            }
        }
        let cancel = guard.canceller();
        claim.hold(end.position, move |event| {
            cancel(match event {
                ClaimEvent::Erased => Failure::NoSession,
                ClaimEvent::Stopped => Failure::Stopped,
                ClaimEvent::TakenOver => Failure::AlreadyRunning,
            });
        });
        let answered = self.answer(history, ids, end, guard, &claim);
        if !matches!(answered, Ok(_) | Err(Failure::Store(_))) {
            // A stored answer ends the claim by itself, and where the database has just failed nothing is waited for.
            let _ = store::wait(Instant::now() + MAX_RELEASE_TIME, |callback| claim.release(callback));
        }
        answered.map(Some)
    }

    /// What becomes of a turn whose session another one has: with an idempotency key it waits, if its question is stored.
    fn wait_or_fail(&self, ids: Ids) -> Result<Option<Answer>, Failure> {
        match self.find_earlier(ids)? {
            (None, None) => Err(Failure::AlreadyRunning),
            _ => Ok(None),
        }
    }

    /// Asks the companion, and stores its answer behind the question.
    fn answer(
        &self,
        history: Vec<Message>,
        ids: Ids,
        end: End,
        guard: &TurnGuard,
        claim: &Claim,
    ) -> Result<Answer, Failure> {
        let conversation = self.conversation(history, ids);
        let own_role = self.resources.companion.role();
        let (role, text, finish) = match self.call_companion(&conversation, ids.answer, guard, claim) {
            Ok((text, finish)) => (own_role, text, finish),
            Err(failure) => (Role::Script, self.fallback(&conversation, failure)?, Finish::Complete),
        };
        if guard.failure() == Some(Failure::NoSession) {
            return Err(Failure::NoSession);
        }
        let answer = new_message(ids.answer, role, text);
        let message = self.store_answer(ids, Message { is_cut: finish == Finish::Cut, ..answer }, end)?;
        self.show(&message.text);
        Ok(Answer { is_fallback: message.role != own_role, message })
    }

    /// What the companion answers: the earlier messages, and the question.
    pub(super) fn conversation(&self, history: Vec<Message>, ids: Ids) -> Vec<ChatMessage> {
        let earlier = history.into_iter().filter(|message| message.id != ids.question);
        let question = ChatMessage { role: Role::User, text: self.question.text.clone() };
        earlier.map(|Message { role, text, .. }| ChatMessage { role, text }).chain([question]).collect()
    }

    /// Sends what the client does not have of the answer. Where it has other words, of a provider that has withdrawn them, or of an answer
    /// in whose place another one is stored, they are taken back.
    fn show(&self, text: &str) {
        let mut shown = self.shown.borrow_mut();
        if !text.starts_with(shown.as_str()) {
            shown.clear();
            self.sink.send(Event::Reset);
        }
        let rest = &text[shown.len()..];
        if !rest.is_empty() {
            shown.push_str(rest);
            self.sink.send(Event::Delta(rest.to_owned()));
        }
    }

    /// The script's reply to a question that speaks of danger, where the companion has no answer.
    ///
    /// # Errors
    /// The failure, where the question speaks of no danger, or something else than the companion ended the turn.
    fn fallback(&self, conversation: &[ChatMessage], failure: Failure) -> Result<String, Failure> {
        let safety = match (self.safety, &failure) {
            (Some(_), Failure::Unavailable(Unavailable::Cancelled)) => return Err(failure),
            (Some(safety), Failure::Unavailable(_) | Failure::Overloaded) => safety,
            _ => return Err(failure),
        };
        failure.log();
        let reply = self.resources.companion.reply(conversation, Some(safety)).to_owned();
        self.show(&reply);
        Ok(reply)
    }

    /// The ids of this turn's messages, and whether it continues the turn of the newest message, which is stored then: a
    /// client without idempotency keys sends the words again after an error.
    pub(super) fn ids(&self, newest: Option<&Message>) -> (Ids, bool) {
        let Question { key, text, .. } = self.question;
        let unanswered = newest.filter(|newest| newest.role == Role::User && newest.text == *text);
        let (question, is_resent) = match (self.question.keyed_id(), unanswered) {
            (Some(question), _) => (question, false),
            (None, Some(unanswered)) => (unanswered.id, true),
            // Derived all the same, so that ids have one form.
            (None, None) => (key.message_id(Part::Question, Uuid::new_v4().as_bytes()), false),
        };
        // From the question's id, so that a question has one answer whether or not it is sent again with its key.
        (Ids { question, answer: key.message_id(Part::Answer, question.as_bytes()) }, is_resent)
    }

    /// Whether the client still waits. Otherwise it was told so, and sends the words again, which must not be answered twice.
    pub(super) fn check_time(&self) -> Result<(), Failure> {
        if self.question.received_at.elapsed() > self.resources.timeout { Err(Failure::TimedOut) } else { Ok(()) }
    }

    /// Whether the session has room for the question, unless it is stored, and for the longest answer: an answer is stored
    /// in any case.
    pub(super) fn check_room(&self, end: End, question_is_stored: bool) -> Result<(), Failure> {
        let SessionLimits { max_messages, max_bytes } = self.resources.session_limits;
        let answer = sealed_bytes(MAX_ANSWER_CHARS * MAX_CHAR_BYTES);
        let (messages, bytes) =
            if question_is_stored { (1, answer) } else { (2, answer + sealed_bytes(self.question.text.len())) };
        let fits = end.position <= max_messages - messages && end.total_bytes <= max_bytes - length(bytes);
        if fits { Ok(()) } else { Err(Failure::SessionFull) }
    }

    /// Calls the companion under a permit, and returns the text of its answer.
    fn call_companion(
        &self,
        conversation: &[ChatMessage],
        answer_id: Uuid,
        guard: &TurnGuard,
        claim: &Claim,
    ) -> Result<(String, Finish), Failure> {
        let resources = self.resources;
        if self.safety.is_some() {
            // Before the wait for a permit, since the help lines come with it.
            self.sink.send(Event::Started(answer_id, self.safety));
        }
        // The rest of the timeout is for storing the answer.
        let deadline = self.question.received_at + resources.timeout * 15 / 16;
        let left = deadline.saturating_duration_since(Instant::now());
        // While turns queue for a thread this one does not wait: a queued turn has not stored its question yet.
        let max_wait = if resources.threads.is_saturated() { Duration::ZERO } else { resources.timeout / 4 };
        let permit = resources.permits.acquire(guard, left.min(max_wait));
        let _permit = permit.ok_or_else(|| guard.failure().unwrap_or(Failure::Overloaded))?;
        // At most a sixteenth of the timeout has gone to the thread, the database and the permit.
        let has_full_time = deadline.saturating_duration_since(Instant::now()) >= resources.timeout * 14 / 16;
        if self.safety.is_none() {
            self.sink.send(Event::Started(answer_id, None));
        }
        let _gauge = resources.metrics.turn_with_companion();
        let call = Call { deadline, has_full_time, cancellation: guard.cancellation.clone() };
        let mut text = String::new();
        let outcome = resources.companion.answer(conversation, self.safety, &call, &mut |delta| {
            text.push_str(delta);
            // Else the session was erased elsewhere perhaps: what is kept back follows with a later piece, or once it is stored.
            if claim.is_session_known() {
                self.show(&text);
            }
        });
        match guard.failure() {
            Some(Failure::Stopped) if !text.trim().is_empty() => Ok((text, Finish::Cut)),
            Some(failure) => Err(failure),
            None => match outcome {
                Ok(finish) => Ok((text, finish)),
                Err(reason) => Err(Failure::Unavailable(reason)),
            },
        }
    }

    /// Stores the answer behind the question, and counts it if it has help lines. Returns the one that is stored, which perhaps another
    /// instance has made, and counted, that took the claim of a turn that it did not hear of for too long.
    fn store_answer(&self, ids: Ids, mut answer: Message, mut end: End) -> Result<Message, Failure> {
        match self.append(&mut answer, &mut end)? {
            Appended::Stored => {
                if let Some(safety) = self.safety {
                    self.resources.metrics.safety(safety.level.label());
                }
                Ok(answer)
            }
            Appended::NoSession => Err(Failure::NoSession),
            Appended::PositionTaken => {
                let (_, stored) = self.find(ids)?;
                stored.ok_or(Failure::AlreadyRunning)
            }
        }
    }

    /// The stored question and answer, with an idempotency key: no others can be stored.
    fn find_earlier(&self, ids: Ids) -> Result<(Option<Message>, Option<Message>), Failure> {
        if self.question.idempotency_key.is_none() { Ok((None, None)) } else { self.find(ids) }
    }

    /// The stored question and answer.
    fn find(&self, Ids { question, answer }: Ids) -> Result<(Option<Message>, Option<Message>), Failure> {
        let ids = [question, answer];
        let rows = self.wait(|callback| self.resources.store.messages.find(self.session(), ids, callback))?;
        let mut messages = self.open(&rows)?;
        let mut take = |id| messages.extract_if(.., |message| message.id == id).next();
        Ok((take(question), take(answer)))
    }

    /// The newest messages, the oldest first; and the end of the session.
    fn read_history(&self) -> Result<(Vec<Message>, End), Failure> {
        let recent = self.wait(|callback| self.resources.read_recent(self.session(), callback))?;
        // It may have ended while the turn waited.
        self.open_history(&self.resources.living(&self.question.key, recent)?.rows)
    }

    pub(super) fn open_history(&self, rows: &[Row]) -> Result<(Vec<Message>, End), Failure> {
        let end = rows.last().map(|row| End { position: row.position, total_bytes: row.total_bytes });
        Ok((self.open(rows)?, end.unwrap_or_default()))
    }

    /// Takes the claim and stores the question at the end of the session, and moves the end behind it.
    fn ask(&self, question: &mut Message, end: &mut End, claim: Uuid) -> Result<Asked, Error> {
        let (row, session) = (self.row(question, end), self.session());
        self.wait(|callback| self.resources.store.messages.ask(NewQuestion { session, row, claim }, callback))
    }

    /// Stores the answer at the end of the session, and moves the end behind it.
    fn append(&self, answer: &mut Message, end: &mut End) -> Result<Appended, Error> {
        let row = self.row(answer, end);
        self.wait(|callback| self.resources.store.messages.append(self.session(), row, callback))
    }

    /// The row of a message behind the end of the session, which is moved there.
    pub(super) fn row(&self, message: &mut Message, end: &mut End) -> Row {
        message.position = end.position.saturating_add(1);
        let sealed = message.seal(&self.question.key);
        *end = End { position: message.position, total_bytes: end.total_bytes + length(sealed.len()) };
        Row { position: message.position, id: message.id, sealed, total_bytes: end.total_bytes }
    }

    /// Waits for a statement until shortly after the client has received its terminal event.
    fn wait<T: Send + 'static>(&self, start: impl FnOnce(Callback<T>)) -> Result<T, Error> {
        store::wait(self.question.received_at + self.resources.timeout + Duration::from_secs(1), start)
    }

    fn open(&self, rows: &[Row]) -> Result<Vec<Message>, OpenError> {
        let key = &self.question.key;
        rows.iter().map(|row| Message::open(key, row.id, row.position, &row.sealed)).collect()
    }

    pub(super) fn session(&self) -> Lookup {
        self.question.key.lookup()
    }
}

/// A message whose position is not known yet.
pub(super) fn new_message(id: Uuid, role: Role, text: String) -> Message {
    Message { id, position: 0, role, created_at: message::now(), text, is_cut: false }
}

/// A length as it is stored.
fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
