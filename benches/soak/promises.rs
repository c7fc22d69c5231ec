//! What was checked, and which promises were broken.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// A promise of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    Kept,
    Erased,
    Whole,
    Ended,
    Swept,
    Sound,
    Flat,
}

pub(crate) const PROMISES: [Promise; 7] =
    [Promise::Kept, Promise::Erased, Promise::Whole, Promise::Ended, Promise::Swept, Promise::Sound, Promise::Flat];

impl Promise {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Promise::Kept => "every acknowledged session, message, answer and report is there, with its text, once",
            Promise::Erased => "what was erased is 404, and has no row",
            Promise::Whole => "no message, report or turn without its session",
            Promise::Ended => "a session is there until its end, and 404 afterwards",
            Promise::Swept => "the rows of what ended are deleted by the next sweep",
            Promise::Sound => "no status but those of the documentation, no panic in the log, a stop in order",
            Promise::Flat => "memory, threads, descriptors, tables and log stay flat",
        }
    }
}

/// The findings of one promise.
#[derive(Default, Clone)]
pub(crate) struct Findings {
    /// How often it was checked.
    pub(crate) checks: usize,
    /// What was found against it, and how often.
    pub(crate) faults: BTreeMap<String, usize>,
}

/// The findings of all of them.
#[derive(Default)]
pub(crate) struct Promises(Mutex<BTreeMap<Promise, Findings>>);

impl Promises {
    /// Notes a check, and the faults that it found. The first fault of each kind is printed at once.
    pub(crate) fn check(&self, promise: Promise, faults: impl IntoIterator<Item = String>) {
        let mut all = self.0.lock();
        let findings = all.entry(promise).or_default();
        findings.checks += 1;
        for fault in faults {
            let count = findings.faults.entry(fault.clone()).or_default();
            *count += 1;
            if *count == 1 {
                eprintln!("BROKEN: {fault} ({})", promise.text());
            }
        }
    }

    pub(crate) fn of(&self, promise: Promise) -> Findings {
        self.0.lock().get(&promise).cloned().unwrap_or_default()
    }

    /// The promises that nothing has checked, which proves nothing.
    pub(crate) fn unchecked(&self) -> Vec<&'static str> {
        PROMISES.into_iter().filter(|promise| self.of(*promise).checks == 0).map(Promise::text).collect()
    }

    /// How many faults there are.
    pub(crate) fn faults(&self) -> usize {
        self.0.lock().values().map(|findings| findings.faults.values().sum::<usize>()).sum()
    }
}
