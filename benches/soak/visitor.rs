//! Sends requests as one client, and judges their statuses.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::people::{Person, Session};
use crate::promises::Promise;
use crate::requests::From;
use crate::shared::Shared;
use crate::support::client::{Answer, Client};
use crate::support::proof_of_work;
use crate::tally::Kind;

/// Between two attempts of a request that has no effect the second time.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// How often such a request is sent: for longer than a restart takes.
pub(crate) const MAX_ATTEMPTS: usize = 12;

/// Proofs of work for one session, as the documented client makes them.
const MAX_PROOFS: usize = 4;

/// One client with its connection.
pub(crate) struct Visitor<'a> {
    pub(crate) shared: &'a Shared,
    connection: Option<Client>,
}

/// What an answer says about a session.
pub(crate) enum Found {
    There(Answer),
    Gone,
    /// The service does not answer now, or refuses everything.
    NotKnown,
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Visitor<'a> {
        Visitor { shared, connection: None }
    }

    /// Sends a request; `None` without an answer.
    pub(crate) fn send(&mut self, kind: Kind, request: &str) -> Option<Answer> {
        let began = Instant::now();
        let connection = self.connection.take();
        let answer = connection.map_or_else(|| Client::connect(Ipv4Addr::LOCALHOST, self.shared.address), Ok).and_then(
            |mut client| {
                let answer = client.send(request)?;
                self.connection = Some(client);
                Ok(answer)
            },
        );
        let answer = answer.ok();
        self.shared.tallies.count(kind, answer.as_ref().map(|answer| answer.status), began.elapsed());
        if answer.is_some() {
            self.shared.promises.check(Promise::Sound, []);
        }
        answer
    }

    /// Whether the last request had an answer.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Notes a status that the documentation does not have for this request.
    pub(crate) fn note_unexpected(&self, kind: Kind, answer: &Answer) {
        let code = serde_json::from_str::<Value>(&answer.body).ok();
        let code = code.as_ref().and_then(|problem| problem["code"].as_str()).unwrap_or("no code");
        let fault = format!("{} got {} ({code})", kind.name(), answer.status);
        self.shared.promises.check(Promise::Sound, [fault]);
    }

    /// Creates a session, with proof of work where that is required.
    pub(crate) fn create(&mut self, address: Ipv4Addr, body: &str) -> Option<(Session, Value)> {
        let from = From { address, session: None };
        let mut proof = String::new();
        for _ in 0..MAX_PROOFS {
            let answer = self.send(Kind::Create, &from.request("POST", "/api/v1/sessions", &proof, body))?;
            match answer.status {
                201 => {
                    let body: Value = serde_json::from_str(&answer.body).ok()?;
                    return Some((Session::new(body["session_id"].as_str()?)?, body));
                }
                429 => proof = proof_of_work::solve(&answer)?,
                503 | 504 => return None,
                _ => {
                    self.note_unexpected(Kind::Create, &answer);
                    return None;
                }
            }
        }
        None
    }

    /// Reads something of a session.
    pub(crate) fn find(&mut self, kind: Kind, from: From<'_>, path: &str, accept: &str) -> Found {
        match self.send(kind, &from.get(path, accept)) {
            Some(answer) if answer.status == 200 => Found::There(answer),
            Some(answer) if answer.status == 404 => Found::Gone,
            None => Found::NotKnown,
            Some(answer) => {
                if !matches!(answer.status, 503 | 504) {
                    self.note_unexpected(kind, &answer);
                }
                Found::NotKnown
            }
        }
    }

    /// Reads JSON of a session that must be there; `None` where that is not known now, or where it is lost, which is noted.
    fn read(&mut self, kind: Kind, from: From<'_>, path: &str) -> Option<Value> {
        match self.find(kind, from, path, "application/json") {
            Found::There(answer) => serde_json::from_str(&answer.body).ok(),
            Found::Gone => {
                let fault = format!("an acknowledged session is lost: {} got 404", kind.name());
                self.shared.promises.check(Promise::Kept, [fault]);
                None
            }
            Found::NotKnown => None,
        }
    }

    /// Compares all that the service returns of a session with what was acknowledged. False where it returns nothing now.
    pub(crate) fn verify(&mut self, person: &Person) -> bool {
        let from = From { address: person.address, session: Some(&person.session.id) };
        let Some(history) = self.read(Kind::History, from, "/api/v1/session/chat") else { return false };
        let messages = history["messages"].as_array().map_or([].as_slice(), Vec::as_slice);
        self.shared.promises.check(Promise::Kept, person.ledger.compare_history(messages));
        if person.ledger.reports.is_empty() && person.ledger.unknown_reports == 0 {
            return true;
        }
        let Some(list) = self.read(Kind::ReadReport, from, "/api/v1/session/reports") else { return false };
        let mut reports = Vec::new();
        for listed in list["reports"].as_array().into_iter().flatten() {
            let path = format!("/api/v1/session/reports/{}", listed["id"].as_str().unwrap_or_default());
            let Some(report) = self.read(Kind::ReadReport, from, &path) else { return false };
            reports.push(report);
        }
        self.shared.promises.check(Promise::Kept, person.ledger.compare_reports(&reports));
        true
    }

    /// Verifies until the service answers, for as long as a restart takes.
    pub(crate) fn verify_surely(&mut self, person: &Person) -> bool {
        (0..MAX_ATTEMPTS).any(|_| self.verify(person) || self.pause())
    }

    /// Asks whether an erased session is gone.
    pub(crate) fn verify_erased(&mut self, address: Ipv4Addr, session: &Session) {
        let from = From { address, session: Some(&session.id) };
        match self.find(Kind::Session, from, "/api/v1/session", "application/json") {
            Found::There(_) => {
                self.shared.promises.check(Promise::Erased, ["an erased session is there again".to_owned()]);
            }
            Found::Gone => self.shared.promises.check(Promise::Erased, []),
            Found::NotKnown => {}
        }
    }

    /// Waits before another attempt. False, so that a condition goes on.
    pub(crate) fn pause(&self) -> bool {
        thread::sleep(PAUSE);
        false
    }
}
