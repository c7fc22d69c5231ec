//! The worker threads: each takes a connection from the run queue, serves it (`serving`), and gives it back.

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::application::Application;
use super::connection::Connection;
use super::deadlines::Phase;
use super::poller::{ERROR_PAUSE, Polled, Poller};
use super::reply::Reply;
use super::response_head::DateClock;
use super::scheduler::Scheduler;
use super::shared::{Shared, State, discard, run_callback};
use super::slot::Assignment;
use super::step::Disposition;
use crate::memory::{StackResidue, overwrite_stack};

/// One worker thread.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) application: Arc<dyn Application>,
    /// Locked by the leader for as long as it leads.
    poller: Arc<Mutex<Poller>>,
    /// For reading.
    pub(super) buffer: Vec<u8>,
    pub(super) clock: DateClock,
}

pub(super) type Work = Assignment<Connection, Reply>;

/// How a worker waits for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It polls.
    Leader,
    /// It is among the sleepers.
    Follower,
}

/// What a worker that waits for a connection got.
enum Waited {
    Work(Work),
    /// Nothing, and its stack is to be overwritten before it waits again, as it did.
    Nothing(Option<Waiting>),
    /// The server has stopped.
    End,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, application: Arc<dyn Application>, poller: Arc<Mutex<Poller>>) -> Worker {
        Worker { shared, application, poller, buffer: Vec::new(), clock: DateClock::default() }
    }

    /// Starts a worker like this one, as the leader or as a follower.
    pub(super) fn start(&self, leads: bool) -> io::Result<()> {
        let mut worker = self.clone();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            worker.run(leads.then_some(Waiting::Leader));
            // The memory of its stack outlives the thread.
            overwrite_stack();
        })?;
        Ok(())
    }

    /// Polls until there is a connection for this thread to serve, or its stack is to be overwritten.
    fn lead(&self, residue: &mut StackResidue) -> Waited {
        let mut poller = self.poller.lock();
        loop {
            let mut is_quiet = false;
            match catch_unwind(AssertUnwindSafe(|| poller.poll_once(residue.pause()))) {
                Ok(Polled::Waited { has_events, stuck_workers }) => {
                    (0..stuck_workers).for_each(|_| self.replace_stuck_worker());
                    is_quiet = !has_events;
                }
                Ok(Polled::Stopped) => return Waited::End,
                // Without a leader the server would be deaf, so not even a panic of the poller's own ends it.
                Err(_) => thread::sleep(ERROR_PAUSE),
            }
            let stepped_down = self.shared.lock().step_down();
            if let Some((work, woken)) = stepped_down {
                drop(poller);
                self.shared.wake(woken);
                return Waited::Work(work);
            }
            // Polling, too, leaves something on the stack.
            let is_due = if is_quiet { residue.is_any() } else { residue.add_call() };
            if is_due {
                return Waited::Nothing(Some(Waiting::Leader));
            }
        }
    }

    fn replace_stuck_worker(&self) {
        if !self.shared.lock().scheduler.allow_surplus(self.shared.limits.workers) {
            return;
        }
        if let Err(error) = self.start(false) {
            log::error!(error:%; "Cannot start a worker in the place of one that is stuck");
            self.shared.lock().scheduler.retire_surplus();
        }
    }

    /// Serves connections until the server has stopped. This frame stays on the stack, and what it calls leaves there what it worked
    /// with; so here is where that is overwritten.
    fn run(&mut self, mut waiting: Option<Waiting>) {
        let (mut next, mut residue) = (None, StackResidue::default());
        loop {
            let waited = match next.take() {
                Some(work) => Waited::Work(work),
                None => self.wait_for_work(waiting.take(), &mut residue),
            };
            match waited {
                Waited::Work(work) => match self.serve_and_give_back(work) {
                    ControlFlow::Continue(work) => {
                        next = work;
                        if residue.add_call() {
                            residue.overwrite();
                        }
                    }
                    ControlFlow::Break(()) => return,
                },
                Waited::Nothing(still) => {
                    waiting = still;
                    residue.overwrite();
                }
                Waited::End => return,
            }
        }
    }

    /// In a frame of its own, so that what it works with is not in that of its caller.
    #[inline(never)]
    fn serve_and_give_back(&mut self, mut work: Work) -> ControlFlow<(), Option<Work>> {
        // A panic of the application is caught where it is called; any other costs its connection.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut work)));
        self.give_back(work, served.unwrap_or(Disposition::Close))
    }

    /// Waits for a connection, as the leader if there is none, or until the stack is to be overwritten.
    fn wait_for_work(&self, waiting: Option<Waiting>, residue: &mut StackResidue) -> Waited {
        if waiting == Some(Waiting::Leader) {
            return self.lead(residue);
        }
        let mut has_slept = false;
        let mut state = self.shared.lock();
        if waiting == Some(Waiting::Follower) {
            state = match self.sleep(state, residue) {
                Some(state) => state,
                None => return Waited::Nothing(Some(Waiting::Follower)),
            };
        }
        loop {
            // A server that ends needs a leader, too: it closes everything and wakes the sleepers.
            let queued = if state.is_closed { 0 } else { state.table.queue.len() };
            if state.scheduler.lead(queued) {
                self.shared.end_watch(&mut state);
                drop(state);
                return self.lead(residue);
            }
            if state.is_closed {
                return Waited::End;
            }
            if let Some(work) = state.take() {
                let woken = state.wake(Scheduler::wake_to_share);
                drop(state);
                self.shared.wake(woken);
                return Waited::Work(work);
            }
            if has_slept && residue.is_any() {
                return Waited::Nothing(None);
            }
            if state.scheduler.stand_by() {
                drop(state);
                self.shared.standby.sleep(residue.pause());
                state = self.shared.lock();
                state.scheduler.end_standby();
                self.shared.end_watch(&mut state);
                has_slept = true;
                continue;
            }
            state.scheduler.sleepers.push(thread::current());
            state = match self.sleep(state, residue) {
                Some(state) => state,
                None => return Waited::Nothing(Some(Waiting::Follower)),
            };
        }
    }

    /// Sleeps until another thread has taken this one from the sleepers; `None` where its stack is to be overwritten first.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, residue: &StackResidue) -> Option<MutexGuard<'a, State>> {
        loop {
            drop(state);
            residue.pause().map_or_else(thread::park, thread::park_timeout);
            state = self.shared.lock();
            if state.scheduler.was_woken(&thread::current()) {
                return Some(state);
            }
            if residue.is_any() {
                return None;
            }
        }
    }

    /// Gives a connection back, and takes the next one. `Break` ends a worker that was stuck and replaced.
    fn give_back(&self, work: Work, mut disposition: Disposition) -> ControlFlow<(), Option<Work>> {
        let Assignment { token, connection, .. } = work;
        let (response, now) = (connection.response_state(), Instant::now());
        let awaits_application = connection.awaits_application;
        let mut state = self.shared.lock();
        state.scheduler.active_workers -= 1;
        if !state.table.is_current(token) {
            let retires = state.scheduler.retire_surplus();
            let woken = if retires { state.wake(Scheduler::wake_successor) } else { None };
            drop(state);
            self.shared.wake(woken);
            discard(connection);
            return if retires { ControlFlow::Break(()) } else { ControlFlow::Continue(None) };
        }
        let is_stopping = self.shared.is_stopping();
        let is_idle = matches!(disposition, Disposition::AwaitClient { phase: Phase::Idle, .. });
        if is_stopping && is_idle && !state.table.slots[token.key].readiness.readable {
            disposition = Disposition::Close;
        }
        let unused_callback = if awaits_application { None } else { state.table.take_disconnect_callback(token) };
        let (mut next, mut removed, mut unused) = (None, None, None);
        match disposition {
            Disposition::AwaitApplication => next = state.table.await_application(token, connection, response, now),
            Disposition::Requeue => state.table.requeue(token, connection, now),
            Disposition::AwaitClient { phase, progress } => state.table.park(token, connection, phase, progress, now),
            Disposition::Linger => (removed, unused) = (state.table.linger(token.key, now), Some(connection)),
            Disposition::Close => (removed, unused) = (state.table.remove(token.key), Some(connection)),
        }
        removed = removed.or_else(|| state.table.remove_failed(token.key));
        let disconnected = state.table.take_disconnected(token.key);
        let has_giving_way = state.table.has_giving_way();
        if next.is_some() {
            state.scheduler.begin_work();
        } else {
            next = state.take();
        }
        drop(state);
        discard(unused_callback);
        disconnected.into_iter().for_each(run_callback);
        removed.into_iter().for_each(|removed| self.shared.close_removed(removed));
        if let Some(connection) = unused {
            if disposition == Disposition::Linger {
                self.shared.rearm(token.key, connection.stream());
            }
            discard(connection);
        }
        // The poller ends when the last connection is closed, and refuses requests that give way.
        if is_stopping || has_giving_way {
            self.shared.wake_poller();
        }
        ControlFlow::Continue(next)
    }
}
