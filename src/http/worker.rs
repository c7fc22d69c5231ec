//! The worker threads: each takes a connection from the run queue, does what it needs, and gives it back. Worker and
//! application meet here: this is the life of a request as the server sees it.

use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::application::{Application, refusal_writer};
use super::connection::{Connection, Disposition, Step};
use super::deadlines::Phase;
use super::poller::{ERROR_PAUSE, Poller};
use super::refusal::Refusal;
use super::reply::Reply;
use super::responder::{Responder, call};
use super::response_head::{ClientCapabilities, DateClock};
use super::response_writer::{ResponseWriter, Source};
use super::scheduler::Scheduler;
use super::shared::{Shared, discard, run_callback, wake};
use super::slot::{Assignment, Token};

/// One worker thread.
#[derive(Clone)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    application: Arc<dyn Application>,
    /// Locked by the leader for as long as it leads.
    poller: Arc<Mutex<Poller>>,
    /// For reading.
    buffer: Vec<u8>,
    clock: DateClock,
}

type Work = Assignment<Connection, Reply>;

/// What a call of the application led to.
enum Outcome {
    Respond(ResponseWriter),
    Refuse(Refusal),
    /// The connection goes on with what it was doing.
    Continue,
    /// The reply comes after the call.
    Deferred,
    /// The connection is of no use any more.
    Close,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, application: Arc<dyn Application>, poller: Arc<Mutex<Poller>>) -> Worker {
        Worker { shared, application, poller, buffer: Vec::new(), clock: DateClock::default() }
    }

    /// Starts a worker like this one, as the leader or as a follower.
    pub(super) fn start(&self, leads: bool) -> io::Result<()> {
        let mut worker = self.clone();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            if leads {
                worker.lead();
            }
            worker.run();
        })?;
        Ok(())
    }

    /// Polls until there is a connection for this thread to serve, or the server has stopped. In the first case a follower
    /// is promoted: this thread has the connection already, while the other one has to wake up first.
    fn lead(&self) {
        let mut poller = self.poller.lock();
        loop {
            let follower = self.shared.lock().wake_if_queued(Scheduler::promote_follower);
            if follower.is_some() {
                drop(poller);
                return wake(follower);
            }
            match catch_unwind(AssertUnwindSafe(|| poller.poll_once())) {
                Ok(Some(stuck_workers)) => (0..stuck_workers).for_each(|_| self.replace_stuck_worker()),
                Ok(None) => return,
                // Without a leader the server would be deaf, so not even a panic of the poller's own ends it.
                Err(_) => thread::sleep(ERROR_PAUSE),
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

    fn run(&mut self) {
        let mut next = None;
        while let Some(mut work) = next.take().or_else(|| self.wait_for_work()) {
            // A panic of the application is caught where it is called; any other costs its connection.
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut work)));
            match self.give_back(work, served.unwrap_or(Disposition::Close)) {
                ControlFlow::Continue(work) => next = work,
                ControlFlow::Break(()) => return,
            }
        }
    }

    /// Waits for a connection, and leads when promoted; `None` at the end of the server.
    fn wait_for_work(&self) -> Option<Work> {
        let mut state = self.shared.lock();
        loop {
            if mem::take(&mut state.scheduler.is_leader_wanted) {
                drop(state);
                self.lead();
                state = self.shared.lock();
            }
            if state.is_closed {
                return None;
            }
            if let Some(work) = state.table.take() {
                state.scheduler.active_workers += 1;
                return Some(work);
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

    /// Does what a connection needs until it has to wait.
    fn serve(&mut self, work: &mut Work) -> Disposition {
        // A reply that came after the call.
        let mut goes_on = work
            .reply
            .take()
            .is_none_or(|reply| self.call(work, |worker, connection, _| worker.make_response(connection, reply)));
        while goes_on {
            goes_on = match work.connection.advance(&self.shared.limits, &mut self.buffer) {
                Step::Done(disposition) => return disposition,
                // If the application replies before it returns, the response is made in the same call.
                Step::Answer(request) => self.call(work, |worker, connection, token| {
                    let responder = Responder::new(&worker.shared, token);
                    let reply = call(&worker.shared, token, || worker.application.answer(request, responder));
                    reply.map_or(Outcome::Deferred, |reply| worker.make_response(connection, reply))
                }),
                Step::CheckHead(request) => self.call(work, |worker, connection, _| {
                    if let Some(response) = worker.application.refuse_head(&request) {
                        return worker.make_response(connection, Reply::Ready(response));
                    }
                    connection.read_body();
                    Outcome::Continue
                }),
                Step::AskForPiece => self.call(work, |worker, connection, token| {
                    let ask = connection.response_writer().and_then(ResponseWriter::ask_for_piece);
                    let reply = ask.and_then(|ask| call(&worker.shared, token, ask));
                    reply.map_or(Outcome::Deferred, |reply| worker.make_response(connection, reply))
                }),
                // If reading fails, the connection ends without the end of the body.
                Step::ReadResponseBody => self.call(work, |_, connection, _| {
                    let read = connection.response_writer().map(ResponseWriter::read_body);
                    if let Some(Ok(())) = read { Outcome::Continue } else { Outcome::Close }
                }),
                Step::Refuse(refusal) => {
                    self.refuse(&mut work.connection, refusal);
                    true
                }
            };
        }
        Disposition::Close
    }

    /// The bytes of a reply. Whether another request may follow is decided here: the server may have begun to stop.
    fn make_response(&mut self, connection: &mut Connection, reply: Reply) -> Outcome {
        let client = connection.capabilities();
        let client = ClientCapabilities { keep_alive: client.keep_alive && !self.shared.is_stopping(), ..client };
        let (response, pieces) = match reply {
            Reply::Ready(response) => (response, None),
            Reply::Deferred(make) => (make(), None),
            Reply::Stream(head, pieces) => (head, Some(Source::Stream(pieces))),
            Reply::Pull(head, ask) => (head, Some(Source::Pull { ask, is_asked: false })),
            Reply::Piece(make) => {
                let (Some(piece), Some(writer)) = (make(), connection.response_writer()) else { return Outcome::Close };
                writer.receive_piece(piece);
                return Outcome::Continue;
            }
            Reply::Dropped if connection.response_state().head_sent => return Outcome::Close,
            Reply::Dropped => return Outcome::Refuse(Refusal::ApplicationFailed),
        };
        match ResponseWriter::new(response, pieces, client, &mut self.clock) {
            Ok(writer) => Outcome::Respond(writer),
            Err(error) => {
                log::error!("the response cannot be sent: {error}");
                Outcome::Refuse(Refusal::ApplicationFailed)
            }
        }
    }

    fn refuse(&mut self, connection: &mut Connection, refusal: Refusal) {
        let head_only = connection.response_state().head_only;
        connection.refuse(refusal_writer(&*self.application, refusal, head_only, &mut self.clock));
    }

    /// Runs the application's code, which may block or panic, here and nowhere else (only its wording of a refusal has no
    /// deadline). `false` if it took too long or failed in a response, so that the connection does not go on.
    fn call(&mut self, work: &mut Work, run: impl FnOnce(&mut Worker, &mut Connection, Token) -> Outcome) -> bool {
        let response = work.connection.response_state();
        let mut state = self.shared.lock();
        let Some(token) = state.table.begin_call(work.token, response, Instant::now()) else { return false };
        work.token = token;
        state.scheduler.active_workers -= 1;
        let successor = state.wake_if_queued(Scheduler::wake_successor);
        drop(state);
        wake(successor);
        let outcome = catch_unwind(AssertUnwindSafe(|| run(self, &mut work.connection, token)));
        let failed = if response.head_sent { Outcome::Close } else { Outcome::Refuse(Refusal::ApplicationFailed) };
        let outcome = outcome.unwrap_or(failed);
        let mut state = self.shared.lock();
        state.scheduler.active_workers += 1;
        let is_current = state.table.end_call(token, matches!(outcome, Outcome::Deferred), Instant::now());
        drop(state);
        match outcome {
            _ if !is_current => return false,
            Outcome::Close => return false,
            Outcome::Respond(writer) => work.connection.respond(writer),
            Outcome::Refuse(refusal) => self.refuse(&mut work.connection, refusal),
            Outcome::Continue | Outcome::Deferred => {}
        }
        true
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
            let woken = if retires { state.wake_if_queued(Scheduler::wake_for_queue) } else { None };
            drop(state);
            wake(woken);
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
        let disconnected = state.table.take_disconnected(token.key);
        next = next.or_else(|| state.table.take());
        state.scheduler.active_workers += usize::from(next.is_some());
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
        // The poller ends when the last connection is closed.
        if is_stopping {
            self.shared.wake_poller();
        }
        ControlFlow::Continue(next)
    }
}
