//! What the service has acknowledged of one session, and whether what it returns agrees with that. The tests include this file.
//!
//! A request without an answer may have been executed or not, so both are right for what it asked.

use std::collections::HashMap;

use serde_json::Value;

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// The answer arrived: its id and text.
    Answered { id: String, content: String },
    /// None arrived: the message may be stored or not, with an answer or without.
    Unknown,
}

/// A message that was sent. No two of a session have the same text.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) question: String,
    pub(crate) fate: Fate,
}

/// The ledger of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// In the order in which they were sent first.
    pub(crate) exchanges: Vec<Exchange>,
    /// The reports whose creation was acknowledged, as they were returned.
    pub(crate) reports: Vec<Value>,
    /// Reports whose creation was not acknowledged.
    pub(crate) unknown_reports: usize,
}

impl Ledger {
    /// How a history differs from what was acknowledged, in words without any text of a message.
    pub(crate) fn compare_history(&self, messages: &[Value]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let is_of = |message: &Value, role: &str| message["role"] == role;
        for (place, message) in messages.iter().enumerate().filter(|(_, message)| is_of(message, "user")) {
            if places.insert(message["content"].as_str().unwrap_or_default(), place).is_some() {
                faults.push("a message is stored twice".to_owned());
            }
        }
        let answers: HashMap<&str, (usize, &Value)> = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| is_of(message, "model"))
            .map(|(place, message)| (message["id"].as_str().unwrap_or_default(), (place, message)))
            .collect();
        let mut last = None;
        for (number, exchange) in self.exchanges.iter().enumerate() {
            let place = places.remove(exchange.question.as_str());
            if let Some(place) = place {
                if last.is_some_and(|last| place < last) {
                    faults.push(format!("message {number} is before an earlier one"));
                }
                last = Some(place);
            }
            let Fate::Answered { id, content } = &exchange.fate else { continue };
            let Some(place) = place else {
                faults.push(format!("message {number} was acknowledged and is lost"));
                continue;
            };
            match answers.get(id.as_str()) {
                None => faults.push(format!("the answer to message {number} was acknowledged and is lost")),
                Some((answer, _)) if *answer < place => {
                    faults.push(format!("the answer to message {number} is before it"));
                }
                Some((_, answer)) if answer["content"] != content.as_str() => {
                    faults.push(format!("the answer to message {number} has another text"));
                }
                Some(_) => {}
            }
        }
        if !places.is_empty() {
            faults.push(format!("{} messages were never sent", places.len()));
        }
        let answered = self.exchanges.iter().filter(|exchange| exchange.fate != Fate::Unknown).count();
        let unknown = self.exchanges.len() - answered;
        if answers.len() > answered + unknown {
            faults.push(format!("{} answers belong to no message", answers.len() - answered - unknown));
        }
        faults
    }

    /// How the reports, each as `GET` returns it, differ from what was acknowledged.
    pub(crate) fn compare_reports(&self, stored: &[Value]) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, report) in self.reports.iter().enumerate() {
            match stored.iter().find(|stored| stored["id"] == report["id"]) {
                None => faults.push(format!("report {number} was acknowledged and is lost")),
                Some(stored) if stored != report => faults.push(format!("report {number} has other contents")),
                Some(_) => {}
            }
        }
        if stored.len() > self.reports.len() + self.unknown_reports {
            faults.push("there are reports that were never asked for".to_owned());
        }
        faults
    }
}
