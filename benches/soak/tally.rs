//! How many requests of each kind were sent, and how long their answers took.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Page,
    Create,
    Session,
    Message,
    Stream,
    History,
    Report,
    ReadReport,
    Pdf,
    Export,
    Delete,
    Panic,
    Exit,
    Flood,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Page => "page",
            Kind::Create => "create",
            Kind::Session => "read a session",
            Kind::Message => "message",
            Kind::Stream => "message, streamed",
            Kind::History => "history",
            Kind::Report => "make a report",
            Kind::ReadReport => "read reports",
            Kind::Pdf => "report as PDF",
            Kind::Export => "export",
            Kind::Delete => "DELETE",
            Kind::Panic => "panic",
            Kind::Exit => "exit",
            Kind::Flood => "flood",
        }
    }
}

/// The requests of one kind.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    /// Microseconds until the answers that were not refusals.
    pub(crate) answered: Vec<u32>,
    /// 409, 429, 503 and 504.
    pub(crate) refused: usize,
    /// No connection, or no answer.
    pub(crate) lost: usize,
}

impl Tally {
    pub(crate) fn requests(&self) -> usize {
        self.answered.len() + self.refused + self.lost
    }

    /// A percentile in milliseconds, by the nearest rank.
    pub(crate) fn percentile_ms(&mut self, percent: f64) -> Option<f64> {
        self.answered.sort_unstable();
        let rank = (self.answered.len() as f64 * percent / 100.0).ceil() as usize;
        Some(f64::from(*self.answered.get(rank.checked_sub(1)?)?) / 1000.0)
    }
}

/// Those of all kinds.
#[derive(Default)]
pub(crate) struct Tallies(Mutex<BTreeMap<Kind, Tally>>);

impl Tallies {
    /// Counts a request by the status of its answer; `None` without one.
    pub(crate) fn count(&self, kind: Kind, status: Option<u16>, took: Duration) {
        let mut all = self.0.lock();
        let tally = all.entry(kind).or_default();
        match status {
            None => tally.lost += 1,
            Some(409 | 429 | 503 | 504) => tally.refused += 1,
            Some(_) => tally.answered.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<Kind, Tally> {
        self.0.lock().clone()
    }

    /// The requests of people so far, without floods: answered, refused, lost.
    pub(crate) fn sums(&self) -> [usize; 3] {
        let all = self.0.lock();
        let of_people = all.iter().filter(|(kind, _)| **kind != Kind::Flood).map(|(_, tally)| tally);
        of_people.fold([0; 3], |[answered, refused, lost], tally| {
            [answered + tally.answered.len(), refused + tally.refused, lost + tally.lost]
        })
    }
}
