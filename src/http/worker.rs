//! The worker threads: each takes a connection from the run queue, serves it (`serving`), and gives it back.

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::application::Application;
use super::connection::Connection;
use super::deadlines::Phase;
use super::poller::{ERROR_PAUSE, Poller};
use super::reply::Reply;
use super::response_head::DateClock;
use super::scheduler::Scheduler;
use super::shared::{Shared, discard, run_callback};
use super::slot::Assignment;
use super::step::Disposition;

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

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, application: Arc<dyn Application>, poller: Arc<Mutex<Poller>>) -> Worker {
        Worker { shared, application, poller, buffer: Vec::new(), clock: DateClock::default() }
    }

    /// Starts a worker like this one, as the leader or as a follower.
    pub(super) fn start(&self, leads: bool) -> io::Result<()> {
        let mut worker = self.clone();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            let first = if leads { worker.lead() } else { None };
            worker.run(first);
        })?;
        Ok(())
    }

    /// Polls until there is a connection for this thread to serve; `None` once the server has stopped.
    fn lead(&self) -> Option<Work> {
        let mut poller = self.poller.lock();
        loop {
            match catch_unwind(AssertUnwindSafe(|| poller.poll_once())) {
                Ok(Some(stuck_workers)) => (0..stuck_workers).for_each(|_| self.replace_stuck_worker()),
                Ok(None) => return None,
                // Without a leader the server would be deaf, so not even a panic of the poller's own ends it.
                Err(_) => thread::sleep(ERROR_PAUSE),
            }
            let stepped_down = self.shared.lock().step_down();
            if let Some((work, woken)) = stepped_down {
                drop(poller);
                self.shared.wake(woken);
                return Some(work);
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

    fn run(&mut self, mut next: Option<Work>) {
        while let Some(mut work) = next.take().or_else(|| self.wait_for_work()) {
            // A panic of the application is caught where it is called; any other costs its connection.
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut work)));
            match self.give_back(work, served.unwrap_or(Disposition::Close)) {
                ControlFlow::Continue(work) => next = work,
                ControlFlow::Break(()) => return,
            }
        }
    }

    /// Waits for a connection, as the leader if there is none; `None` at the end of the server.
    fn wait_for_work(&self) -> Option<Work> {
        let mut state = self.shared.lock();
        loop {
            // A server that ends needs a leader, too: it closes everything and wakes the sleepers.
            let queued = if state.is_closed { 0 } else { state.table.queue.len() };
            if state.scheduler.lead(queued) {
                self.shared.end_watch(&mut state);
                drop(state);
                return self.lead();
            }
            if state.is_closed {
                return None;
            }
            if let Some(work) = state.take() {
                let woken = state.wake(Scheduler::wake_to_share);
                drop(state);
                self.shared.wake(woken);
                return Some(work);
            }
            if state.scheduler.stand_by() {
                drop(state);
                self.shared.standby.sleep();
                state = self.shared.lock();
                state.scheduler.end_standby();
                self.shared.end_watch(&mut state);
                continue;
            }
            let this = thread::current();
            state.scheduler.sleepers.push(this.clone());
            loop {
                drop(state);
                thread::park();
                state = self.shared.lock();
                if state.scheduler.was_woken(&this) {
                    break;
                }
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
