//! One turn, from top to bottom.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::audience::Audience;
use super::places::Place;
use super::running::{Claim, Ending};
use super::{Event, Failure, Question, Turns};
use crate::companion::{Call, Said, Source, Speaker};
use crate::conversation::{self, Message, Role};
use crate::sealing::{Part, Unreadable};
use crate::store::messages::{self, Appended, Row};
use crate::store::{self, Done, Error};

/// In UTF-8.
const MOST_CHAR_BYTES: usize = 4;

/// How often an answer tries to find its place behind messages that another service writes at the same time.
const ATTEMPTS: u32 = 5;

impl Turns {
    /// The turn itself. Without a claim another runs, and all there may be is an answer from before.
    pub(super) fn run(
        &self,
        question: &Question,
        claim: Option<&Claim>,
        audience: &Audience,
    ) -> Result<Message, Failure> {
        if question.since.elapsed() > self.timeout {
            // It waited for a thread for so long.
            return Err(Failure::TooLate);
        }
        let ids @ [question_id, answer_id] = self.ids(question);
        // In this order: should another service write between the two, the position that follows from the first is taken.
        let said = if claim.is_some() { self.read(question)? } else { Vec::new() };
        let came_before = match self.find(question, ids)? {
            (Some(asked), _) if asked.text != question.text => return Err(Failure::OtherMessage),
            (_, Some(answer)) => return Ok(answer),
            (asked, None) => asked.is_some(),
        };
        let claim = claim.ok_or(Failure::Running)?;
        let mut position = next_position(&said);
        if !came_before {
            let (role, text) = (Role::Person, question.text.clone());
            let message = Message { id: question_id, position, role, created_at: conversation::now(), text };
            match self.append(question, &message)? {
                Appended::Stored => position += 1,
                Appended::NoSession => return Err(Failure::NoSession),
                Appended::Taken => return Err(Failure::Running),
            }
        }
        let before = said.into_iter().filter(|message| message.id != question_id).map(Said::from).collect();
        let place = self.take_place(question, claim)?;
        audience.tell(Event::Began(answer_id));
        let text = self.ask(question, before, claim, audience)?;
        let role = match self.companion.source() {
            Source::Companion => Role::Companion,
            Source::Script => Role::Script,
        };
        let answer = Message { id: answer_id, position, role, created_at: conversation::now(), text };
        let stored = self.store(question, ids, answer);
        // Not before: who listens to a stream holds a thread of the server's until the end.
        drop(place);
        stored
    }

    /// Waits for a place with the companion.
    fn take_place(&self, question: &Question, claim: &Claim) -> Result<Place, Failure> {
        // Where others wait for a thread, this one is needed: their messages are to be stored.
        let most = if self.threads.is_crowded() { Duration::ZERO } else { self.timeout / 4 };
        let left = self.companions_deadline(question).saturating_duration_since(Instant::now());
        self.places.take(left.min(most), claim.cut()).ok_or_else(|| match claim.ending() {
            Some(Ending::Erased) => Failure::NoSession,
            Some(Ending::Stopped) => Failure::Stopped,
            None => Failure::Crowded,
        })
    }

    /// Something is left for storing the answer.
    fn companions_deadline(&self, question: &Question) -> Instant {
        question.since + self.timeout * 15 / 16
    }

    /// Asks the companion, and returns what it said.
    fn ask(
        &self,
        question: &Question,
        mut conversation: Vec<Said>,
        claim: &Claim,
        audience: &Audience,
    ) -> Result<String, Failure> {
        let _with_companion = self.metrics.turn_with_companion();
        conversation.push(Said { speaker: Speaker::Person, text: question.text.clone() });
        let deadline = self.companions_deadline(question);
        let call = Call { deadline, is_streamed: question.is_streamed, cut: claim.cut().clone() };
        let mut said = String::new();
        let outcome = self.companion.answer(&conversation, &call, &mut |piece| {
            said.push_str(piece);
            audience.tell(Event::Said(piece.to_owned()));
        });
        match claim.ending() {
            Some(Ending::Erased) => Err(Failure::NoSession),
            Some(Ending::Stopped) if said.trim().is_empty() => Err(Failure::Stopped),
            Some(Ending::Stopped) => Ok(said),
            None => outcome.map(|()| said).map_err(Failure::Unavailable),
        }
    }

    /// Stores an answer behind whatever is there by now.
    fn store(&self, question: &Question, ids: [Uuid; 2], mut answer: Message) -> Result<Message, Failure> {
        for _ in 0..ATTEMPTS {
            match self.append(question, &answer)? {
                Appended::Stored => return Ok(answer),
                Appended::NoSession => return Err(Failure::NoSession),
                Appended::Taken => {}
            }
            // Another service on this database has written to the session; perhaps this very answer.
            if let (_, Some(answer)) = self.find(question, ids)? {
                return Ok(answer);
            }
            answer.position = next_position(&self.read(question)?);
        }
        Err(Failure::Running)
    }

    /// The ids of the question and of the answer: what the client calls the request decides, or else chance.
    fn ids(&self, question: &Question) -> [Uuid; 2] {
        let chance = Uuid::new_v4();
        let key = question.key.as_deref().map_or(chance.as_bytes().as_slice(), str::as_bytes);
        [Part::Question, Part::Answer].map(|part| question.seal.message_id(part, key))
    }

    /// The question and the answer, if the request came before.
    fn find(&self, question: &Question, ids: [Uuid; 2]) -> Result<(Option<Message>, Option<Message>), Failure> {
        if question.key.is_none() {
            return Ok((None, None));
        }
        let session = question.seal.lookup();
        let rows = self.wait(question, |done| messages::find(&self.database, session, ids, done))?;
        let mut found = open(question, &rows)?;
        let mut take = |id| found.iter().position(|message| message.id == id).map(|place| found.swap_remove(place));
        Ok((take(ids[0]), take(ids[1])))
    }

    /// What was said last, as much as the companion can use.
    fn read(&self, question: &Question) -> Result<Vec<Message>, Failure> {
        let bytes = self.companion.context_chars().saturating_mul(MOST_CHAR_BYTES);
        let session = question.seal.lookup();
        let rows = self.wait(question, |done| messages::recent(&self.database, session, bytes, done))?;
        Ok(open(question, &rows)?)
    }

    fn append(&self, question: &Question, message: &Message) -> Result<Appended, Error> {
        let row = Row { position: message.position, id: message.id, sealed: message.seal(&question.seal) };
        let session = question.seal.lookup();
        self.wait(question, |done| messages::append(&self.database, session, row, done))
    }

    /// Waits for the database, until whoever asked has been told that there is no answer.
    fn wait<T: Send + 'static>(&self, question: &Question, start: impl FnOnce(Done<T>)) -> Result<T, Error> {
        store::wait(question.since + self.timeout + Duration::from_secs(1), start)
    }
}

fn open(question: &Question, rows: &[Row]) -> Result<Vec<Message>, Unreadable> {
    rows.iter().map(|row| Message::open(&question.seal, row.id, row.position, &row.sealed)).collect()
}

fn next_position(said: &[Message]) -> i32 {
    said.last().map_or(1, |message| message.position.saturating_add(1))
}

impl From<Message> for Said {
    fn from(message: Message) -> Said {
        let speaker = if message.role == Role::Person { Speaker::Person } else { Speaker::Companion };
        Said { speaker, text: message.text }
    }
}
