//! The victims: they use the service as people and load balancers do, and each request counts.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safespace::session_id::SessionId;

use crate::database::Database;
use crate::requests::{SHORT, create, make_report, message, on_session, read_report, request};
use crate::support::client::Client;
use crate::support::outcome::Outcome;
use crate::support::proof_of_work;
use crate::support::stop::StopSignal;

/// Seconds between two messages into one session, so that no limit of a session is met.
const SECONDS_BETWEEN_MESSAGES: usize = 20;

/// Proofs of work that a victim makes for one session, as the documented client does.
const MAX_PROOFS: usize = 3;

/// Messages of a victim's session.
const MESSAGES: i32 = 6;

/// Messages of every second session that is read or deleted.
const MANY_MESSAGES: i32 = 200;

/// What a victim does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Act {
    /// Sends a message with an `Idempotency-Key`, and waits for the answer.
    Message,
    /// Reads the history of a session.
    History,
    /// Makes a report, reads it as JSON and as PDF, and exports the session.
    Report,
    /// Deletes a session.
    Delete,
    /// Creates a session.
    Create,
    /// Probes `/health/ready`.
    Health,
}

/// Victims of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Victims {
    pub(crate) act: Act,
    pub(crate) per_second: u32,
}

/// What became of the victims' requests.
pub(crate) struct Experience {
    pub(crate) victims: Victims,
    /// Latencies of the requests that had their answer, from the time they were due.
    pub(crate) answered: Vec<Duration>,
    /// How often each failure came: another status, no connection, or no answer in time.
    pub(crate) failures: BTreeMap<String, usize>,
}

impl Act {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Act::Message => "message",
            Act::History => "history",
            Act::Report => "report",
            Act::Delete => "delete",
            Act::Create => "create",
            Act::Health => "health",
        }
    }

    /// The share of requests that must be answered.
    pub(crate) fn min_share(self) -> f64 {
        match self {
            Act::Delete | Act::Health => 1.0,
            _ => 0.95,
        }
    }

    /// The requests, one after another, each with the status that its answer should have.
    fn requests(self, session: Option<&SessionId>) -> Option<Vec<(String, u16)>> {
        Some(match self {
            Act::Message => vec![(message(session?, SHORT), 200)],
            Act::History => vec![(on_session("GET", session?, "/chat"), 200)],
            Act::Report => vec![
                (make_report(session?), 201),
                (read_report(session?, "application/json"), 200),
                (read_report(session?, "application/pdf"), 200),
                (on_session("GET", session?, "/export"), 200),
            ],
            Act::Delete => vec![(on_session("DELETE", session?, ""), 204)],
            Act::Create => vec![(create(""), 201)],
            Act::Health => vec![(request("GET", "/health/ready", "", ""), 200)],
        })
    }
}

impl Victims {
    /// Stores the sessions for this many seconds.
    pub(crate) fn sessions(self, database: &mut Database, seconds: u64) -> Outcome<Vec<SessionId>> {
        let requests = self.per_second as usize * usize::try_from(seconds)?;
        let count = match self.act {
            Act::Message | Act::History | Act::Report => {
                (self.per_second as usize * SECONDS_BETWEEN_MESSAGES).min(requests)
            }
            Act::Delete => requests,
            Act::Create | Act::Health => 0,
        };
        if !matches!(self.act, Act::Delete | Act::History) {
            return database.store(count, MESSAGES, SHORT);
        }
        let short = database.store(count.div_ceil(2), MESSAGES, SHORT)?;
        let long = database.store(count.div_ceil(2), MANY_MESSAGES, SHORT)?;
        Ok(short.into_iter().zip(long).flat_map(<[_; 2]>::from).collect())
    }

    /// Sends requests at their rate for so long, each on a thread and a connection of its own, so that a slow one delays no
    /// other.
    pub(crate) fn run(
        self,
        address: SocketAddr,
        sessions: &[SessionId],
        duration: Duration,
        stop: &StopSignal,
    ) -> Experience {
        let experience = Mutex::new(Experience { victims: self, answered: Vec::new(), failures: BTreeMap::new() });
        let started = Instant::now();
        thread::scope(|scope: &Scope<'_, '_>| {
            for number in 0.. {
                let due = started + Duration::from_secs(1) * number / self.per_second;
                if due >= started + duration || stop.check().is_err() {
                    break;
                }
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let session = sessions.get(number as usize % sessions.len().max(1));
                let experience = &experience;
                scope.spawn(move || {
                    let answered = self.ask(address, number, session);
                    let (latency, mut experience) = (due.elapsed(), experience.lock());
                    match answered {
                        Ok(()) => experience.answered.push(latency),
                        Err(error) => *experience.failures.entry(error.to_string()).or_default() += 1,
                    }
                });
            }
        });
        experience.into_inner()
    }

    /// Sends its requests, with a proof of work if that is required; an error unless each has the answer that it should have.
    /// Each of some hundred victims has an address in a network of its own.
    fn ask(self, address: SocketAddr, number: u32, session: Option<&SessionId>) -> io::Result<()> {
        let network = u8::try_from(number % 200).unwrap_or_default();
        let source = Ipv4Addr::new(127, 0, 10 + network, 1);
        let requests = self.act.requests(session).ok_or_else(|| io::Error::other("there is no session"))?;
        let mut client = Client::connect(source, address)?;
        for (request, expected) in requests {
            let mut answer = client.send(&request)?;
            for _ in 0..MAX_PROOFS {
                let Some(solution) = proof_of_work::solve(&answer) else { break };
                answer = client.send(&create(&solution))?;
            }
            if answer.status != expected {
                return Err(io::Error::other(format!("status {}", answer.status)));
            }
        }
        Ok(())
    }
}

impl Experience {
    pub(crate) fn requests(&self) -> usize {
        self.answered.len() + self.failures.values().sum::<usize>()
    }

    /// The share of requests that had their answer.
    pub(crate) fn share(&self) -> f64 {
        self.answered.len() as f64 / self.requests().max(1) as f64
    }

    /// A percentile of the answered requests in milliseconds, by the nearest rank.
    pub(crate) fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let mut sorted = self.answered.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
        Some(sorted.get(rank.checked_sub(1)?)?.as_secs_f64() * 1000.0)
    }
}
