//! The turns that run, one for each session at most, and what ends them from outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::companion::Cut;
use crate::sealing::Lookup;
use crate::store::{Done, Error};

/// Why a turn ends before the companion has said everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The person has heard enough.
    Stopped,
    /// The session is gone.
    Erased,
}

/// Is told when a turn is over, and whether its session is there.
pub type Over = Done<bool>;

/// The turns that run. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Lookup, Entry>>>);

#[derive(Default)]
struct Entry {
    cut: Cut,
    ending: Option<Ending>,
    over: Vec<Over>,
}

/// The right to be the one turn of a session, until it is dropped.
pub(super) struct Claim {
    running: Running,
    session: Lookup,
    cut: Cut,
    /// Whether it was given free already: another may have claimed the session since.
    is_over: bool,
}

impl Running {
    /// Claims a session for a turn; `None` while another runs.
    pub(super) fn claim(&self, session: Lookup) -> Option<Claim> {
        let mut entries = self.entries();
        if entries.contains_key(&session) {
            return None;
        }
        let entry = entries.entry(session).or_default();
        Some(Claim { running: self.clone(), session, cut: entry.cut.clone(), is_over: false })
    }

    /// Ends the turn of a session. Where none runs, `over` is given back.
    pub(super) fn end(&self, session: Lookup, ending: Ending, over: Option<Over>) -> Option<Over> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&session) else { return over };
        // What was erased cannot be stopped any more.
        if entry.ending != Some(Ending::Erased) {
            entry.ending = Some(ending);
        }
        entry.over.extend(over);
        let cut = entry.cut.clone();
        drop(entries);
        cut.now();
        None
    }

    /// Cuts every call: the service stops.
    pub(super) fn cut_all(&self) {
        let cuts: Vec<Cut> = self.entries().values().map(|entry| entry.cut.clone()).collect();
        cuts.iter().for_each(Cut::now);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Lookup, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// What ends the turn from outside.
    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Why it is to end.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.running.entries().get(&self.session).and_then(|entry| entry.ending)
    }

    /// Gives the session free, and tells those who wait for that whether it is there.
    pub(super) fn end(mut self, is_there: &Result<bool, Error>) {
        self.give_free(is_there);
    }

    fn give_free(&mut self, is_there: &Result<bool, Error>) {
        self.is_over = true;
        let entry = self.running.entries().remove(&self.session);
        entry.into_iter().flat_map(|entry| entry.over).for_each(|over| over(is_there.clone()));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_over {
            self.give_free(&Err(Error::Refused("the turn panicked".to_owned())));
        }
    }
}
