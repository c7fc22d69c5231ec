//! The table of attacks: each kind is a file.

mod creates;
mod erasures;
mod half_bodies;
mod heads;
mod keyed_messages;
mod leaving;
mod letters;
mod reports;
mod slow_answers;
mod slow_histories;

use crate::attack::{Attack, Limits};
use crate::victims::{Act, Victims};

/// Two requests a second.
const fn some(act: Act) -> Victims {
    Victims { act, per_second: 2 }
}

pub(crate) const ATTACKS: [Attack; 16] = [
    Attack {
        name: "keyed-4000",
        what: "8 clients send keyed messages, one after another, each into a session of 4,000 messages",
        limits: &[Limits::Default, Limits::Off],
        victims: &[some(Act::Message), some(Act::History)],
        seconds: 40,
        prepare: |database| keyed_messages::prepare(database, 4_000),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "keyed-20000",
        what: "the same with 20,000 messages",
        limits: &[Limits::Off],
        victims: &[some(Act::Message), some(Act::History)],
        seconds: 40,
        prepare: |database| keyed_messages::prepare(database, 20_000),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "leaving",
        what: "8 messages at a time, every 2 s, into new sessions; the answers take a minute, and the client leaves after 2 s",
        limits: &[Limits::Default],
        victims: &[some(Act::Message)],
        seconds: 60,
        prepare: leaving::prepare,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "slow-answers",
        what: "40 messages a second into new sessions; the answers take 10 s",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Message)],
        seconds: 45,
        prepare: slow_answers::prepare,
        max_delete_ms: None,
        answers_by_address: true,
        max_stored: None,
    },
    Attack {
        name: "slow-histories",
        what: "200 connections read a history of 240 messages of control characters (5.9 MB of JSON) at 357 B/s",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Message), some(Act::History), some(Act::Delete)],
        seconds: 40,
        prepare: |database| slow_histories::prepare(database, 200, 1),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "slow-histories-2000",
        what: "the same with 2,000 connections and 64 sessions",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Message), some(Act::History), some(Act::Delete)],
        seconds: 40,
        prepare: |database| slow_histories::prepare(database, 2_000, 64),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "heads",
        what: "200 connections send `HEAD …/chat` of the same session, one after another",
        limits: &[Limits::Default],
        victims: &[some(Act::History), some(Act::Delete)],
        seconds: 30,
        prepare: heads::prepare,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "reports",
        what: "64 connections read the reports of one session, one after another, half of them as PDF",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Report), some(Act::Message), some(Act::Delete)],
        seconds: 40,
        prepare: reports::prepare,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "four-erasures",
        what: "4 clients delete a session of 5,000 messages of 4 KiB each, at once, every 5 s",
        limits: &[Limits::Default],
        victims: &[Victims { act: Act::Delete, per_second: 20 }],
        seconds: 20,
        prepare: erasures::four_at_once,
        max_delete_ms: Some(100.0),
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "erasures",
        what: "4 clients delete sessions of 5,000 short messages, one after another, 10 a second",
        limits: &[Limits::Default],
        victims: &[Victims { act: Act::Delete, per_second: 20 }],
        seconds: 20,
        prepare: erasures::continuous,
        max_delete_ms: Some(100.0),
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "half-bodies",
        what: "10,000 connections from one address, each with half a body; those that the service closes are opened again",
        limits: &[Limits::Default, Limits::Off, Limits::ByAddress],
        victims: &[some(Act::Health), some(Act::Delete), some(Act::Create)],
        seconds: 40,
        prepare: half_bodies::prepare,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "creates",
        what: "128 connections create sessions without end, every fourth also writes 4 KiB into each",
        limits: &[Limits::Default, Limits::Off],
        victims: &[some(Act::Create), some(Act::Message), some(Act::Delete)],
        seconds: 30,
        prepare: creates::without_proof,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: Some(0.5),
    },
    Attack {
        name: "creates-solving",
        what: "8 connections do the same and solve every proof of work",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Create), some(Act::Message), some(Act::Delete)],
        seconds: 30,
        prepare: creates::with_proof,
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: Some(0.5),
    },
    Attack {
        name: "letters-60",
        what: "60 streamed answers of one letter in each piece, read at 357 B/s",
        limits: &[Limits::Default],
        victims: &[some(Act::Message), some(Act::Health)],
        seconds: 40,
        prepare: |database| letters::prepare(database, 60),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
    Attack {
        name: "letters-2000",
        what: "2,000 of these",
        limits: &[Limits::Default, Limits::ByAddress],
        victims: &[some(Act::Message), some(Act::Health)],
        seconds: 60,
        prepare: |database| letters::prepare(database, 2_000),
        max_delete_ms: None,
        answers_by_address: true,
        max_stored: None,
    },
    Attack {
        name: "none",
        what: "no attack, for comparison",
        limits: &[Limits::Default],
        victims: &[some(Act::Message), some(Act::History), some(Act::Delete), some(Act::Create), some(Act::Health)],
        seconds: 20,
        prepare: |_| Ok(Vec::new()),
        max_delete_ms: None,
        answers_by_address: false,
        max_stored: None,
    },
];
