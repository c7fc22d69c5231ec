//! A visit: a person comes back, or begins, writes, reads, perhaps makes a report, and leaves or erases everything.

use serde_json::Value;

use crate::chance;
use crate::ledger::{Exchange, Fate, Ledger};
use crate::people::{Ending, Person};
use crate::promises::Promise;
use crate::requests::From;
use crate::support::client::Answer;
use crate::tally::Kind;
use crate::visitor::{MAX_ATTEMPTS, Visitor};

/// Requests of a visit on average, as they were counted.
pub(crate) const REQUESTS: f64 = 5.0;

/// Reports of one session; the service has room for 20.
const MAX_REPORTS: usize = 8;

/// A sentence in which the service finds danger.
const DANGER: &str = "Saya mau bunuh diri malam ini.";

/// The shortest idle timeout that a session can choose.
const SHORTEST: &str = r#"{"idle_timeout_seconds":60}"#;

/// What became of a message.
enum Outcome {
    Fate(Fate),
    /// Too many messages; nothing was stored.
    Refused,
    Gone,
}

impl Visitor<'_> {
    /// One visit, beside as many people as shall rest.
    pub(crate) fn visit(&mut self, wanted: usize) {
        let [resting, _] = self.shared.people.counts();
        if chance::percent(20) {
            let from = From { address: self.shared.people.new_address(), session: None };
            let accept = if chance::percent(50) { "text/html" } else { "application/json" };
            self.send(Kind::Page, &from.get("/", accept));
        }
        if chance::percent(3) {
            self.begin_ending();
        }
        let begins = chance::percent(if resting < wanted { 60 } else { 25 });
        let returning = if begins { None } else { self.shared.people.take_rested() };
        let Some(mut person) = returning.or_else(|| self.begin()) else { return };
        if !person.may_be_erased {
            self.use_session(&mut person);
        }
        let erases = chance::percent(if resting < wanted { 10 } else { 40 });
        if person.may_be_erased || erases { self.erase(person) } else { self.shared.people.rest(person) }
    }

    fn begin(&mut self) -> Option<Person> {
        let address = self.shared.people.new_address();
        let (session, _) = self.create(address, "")?;
        Some(Person { session, address, ledger: Ledger::default(), may_be_erased: false })
    }

    fn begin_ending(&mut self) {
        let address = self.shared.people.new_address();
        let Some((session, body)) = self.create(address, SHORTEST) else { return };
        if let Some(ends_at) = body["expires_at"].as_str().and_then(|text| text.parse().ok()) {
            self.shared.people.ending.lock().push(Ending { session, ends_at, swept_from: None });
        }
    }

    fn use_session(&mut self, person: &mut Person) {
        if chance::percent(50) && !self.verify(person) {
            return;
        }
        for _ in 0..=chance::below(3) {
            self.talk(person);
        }
        if chance::percent(12) && person.ledger.reports.len() + person.ledger.unknown_reports < MAX_REPORTS {
            self.make_report(person);
        }
        if chance::percent(5) {
            self.read_file(person, Kind::Export, "/api/v1/session/export", "application/json");
        }
        if chance::percent(50) {
            self.verify(person);
        }
    }

    /// Sends a message, again with the same key while it gets no answer.
    fn talk(&mut self, person: &mut Person) {
        let question = match chance::below(20) {
            0 => format!("{DANGER} {}", chance::word()),
            1 => format!("{} {}", "a long story \u{1f9ed} ".repeat(1 + chance::below(200)), chance::word()),
            _ => format!("Saya tidak tahu harus bagaimana. {}", chance::word()),
        };
        let (key, is_streamed) = (chance::word(), chance::percent(40));
        let kind = if is_streamed { Kind::Stream } else { Kind::Message };
        let place = person.ledger.exchanges.len();
        person.ledger.exchanges.push(Exchange { question: question.clone(), fate: Fate::Unknown });
        for attempt in 0..MAX_ATTEMPTS {
            let from = From { address: person.address, session: Some(&person.session.id) };
            let answer = self.send(kind, &from.message(&question, &key, is_streamed));
            match answer.map_or(Outcome::Fate(Fate::Unknown), |answer| self.outcome(kind, &answer)) {
                Outcome::Fate(Fate::Unknown) => _ = self.pause(),
                Outcome::Fate(fate) => {
                    person.ledger.exchanges[place].fate = fate;
                    return;
                }
                Outcome::Refused => {
                    if attempt == 0 {
                        person.ledger.exchanges.pop();
                    }
                    return;
                }
                Outcome::Gone => {
                    let fault = "an acknowledged session is lost: a message got 404".to_owned();
                    return self.shared.promises.check(Promise::Kept, [fault]);
                }
            }
        }
    }

    fn outcome(&self, kind: Kind, answer: &Answer) -> Outcome {
        match answer.status {
            200 => Outcome::Fate(answered(kind, &answer.body).unwrap_or(Fate::Unknown)),
            404 => Outcome::Gone,
            429 => Outcome::Refused,
            409 | 503 | 504 => Outcome::Fate(Fate::Unknown),
            _ => {
                self.note_unexpected(kind, answer);
                Outcome::Fate(Fate::Unknown)
            }
        }
    }

    fn make_report(&mut self, person: &mut Person) {
        let from = From { address: person.address, session: Some(&person.session.id) };
        let answer = self.send(Kind::Report, &from.report(&"cerita panjang ".repeat(1 + chance::below(60))));
        match answer {
            Some(answer) if answer.status == 201 => {
                let Ok(report) = serde_json::from_str(&answer.body) else { return };
                person.ledger.reports.push(report);
                if chance::percent(50) {
                    self.read_file(person, Kind::Pdf, "/api/v1/session/report", "application/pdf");
                }
            }
            // Sent again, it would make a second one.
            None => person.ledger.unknown_reports += 1,
            Some(answer) => {
                person.ledger.unknown_reports += 1;
                if !matches!(answer.status, 429 | 503 | 504) {
                    self.note_unexpected(Kind::Report, &answer);
                }
            }
        }
    }

    /// Reads a file, whose contents are not compared.
    fn read_file(&mut self, person: &Person, kind: Kind, path: &str, accept: &str) {
        let from = From { address: person.address, session: Some(&person.session.id) };
        self.find(kind, from, path, accept);
    }

    /// Erases a session in one of the three ways, again while there is no answer.
    pub(crate) fn erase(&mut self, mut person: Person) {
        let (id, address) = (person.session.id.clone(), person.address);
        let (of_session, of_body) = (From { address, session: Some(&id) }, From { address, session: None });
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (kind, request, expected) = match chance::below(4) {
            0 => (Kind::Panic, of_body.request("POST", "/api/v1/panic", "Content-Type: text/plain\r\n", &id), 204),
            1 => (Kind::Exit, of_body.request("POST", "/api/v1/exit", form, &format!("session_id={id}")), 303),
            _ => (Kind::Delete, of_session.request("DELETE", "/api/v1/session", "", ""), 204),
        };
        for _ in 0..MAX_ATTEMPTS {
            let answer = self.send(kind, &request);
            match answer.as_ref().map(|answer| answer.status) {
                Some(status) if status == expected || (status == 404 && person.may_be_erased) => {
                    self.shared.people.note_erased(person.session.clone());
                    return self.verify_erased(address, &person.session);
                }
                Some(404) => {
                    let fault = "an acknowledged session is lost: DELETE got 404".to_owned();
                    return self.shared.promises.check(Promise::Kept, [fault]);
                }
                None | Some(503 | 504) => person.may_be_erased = true,
                Some(_) => {
                    if let Some(answer) = &answer {
                        self.note_unexpected(kind, answer);
                    }
                    person.may_be_erased = true;
                }
            }
            self.pause();
        }
        self.shared.people.rest(person);
    }
}

/// The answer in a response; `None` for a stream that ended with an error.
fn answered(kind: Kind, body: &str) -> Option<Fate> {
    let data = match kind {
        Kind::Stream => body.split_once("event: message.end\ndata: ")?.1.split('\n').next()?,
        _ => body,
    };
    let message: Value = serde_json::from_str(data).ok()?;
    Some(Fate::Answered { id: message["id"].as_str()?.to_owned(), content: message["content"].as_str()?.to_owned() })
}
