//! The worker threads: each takes a connection from the run queue, does what it needs, and gives it back. Worker and
//! application meet here: this is the life of a request as the server sees it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use rouille::Request;

use super::application::{Application, refusal_writer};
use super::connection::{Connection, Disposition, Step};
use super::deadlines::Phase;
use super::poller::Poller;
use super::refusal::Refusal;
use super::reply::Reply;
use super::responder::Responder;
use super::response_head::{ClientCapabilities, DateClock, InvalidResponse};
use super::response_writer::ResponseWriter;
use super::shared::{Shared, discard, wake};
use super::slot::{Assignment, ReplyToken, ResponseState, Token};

/// What the workers of a server have in common.
#[derive(Clone)]
pub(super) struct Workers {
    pub(super) shared: Arc<Shared>,
    pub(super) application: Arc<dyn Application>,
    /// Locked by the leader for as long as it leads.
    pub(super) poller: Arc<Mutex<Poller>>,
}

impl Workers {
    /// Starts one worker, as the leader or as a follower.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(&self, leads: bool) -> io::Result<()> {
        let mut worker = Worker { workers: self.clone(), buffer: Vec::new(), clock: DateClock::default() };
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            if leads {
                worker.workers.lead();
            }
            worker.run();
        })?;
        Ok(())
    }

    /// Polls until there is a connection for this thread to serve, or the server has stopped. In the first case a follower
    /// is promoted: this thread has the connection at hand, and would only hand it to a thread that has to wake up first.
    fn lead(&self) {
        let mut poller = self.poller.lock();
        loop {
            let follower = self.shared.lock().promote_follower();
            if follower.is_some() {
                drop(poller);
                return wake(follower);
            }
            // Without a leader the server would be deaf, so not even a panic of the poller's own ends it.
            let stuck_workers = match catch_unwind(AssertUnwindSafe(|| poller.turn())) {
                Ok(turn) if turn.has_stopped => return,
                Ok(turn) => turn.stuck_workers,
                Err(_) => {
                    poller.pause();
                    0
                }
            };
            (0..stuck_workers).for_each(|_| self.replace_stuck_worker());
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
}

type Work = Assignment<Connection, Reply>;

/// One worker thread.
struct Worker {
    workers: Workers,
    /// For reading.
    buffer: Vec<u8>,
    clock: DateClock,
}

/// The connection was removed while the application had it: the application took too long.
struct Gone;

/// What a call of the application led to.
enum Outcome {
    Respond(ResponseWriter),
    /// The connection goes on with what it was doing.
    Continue,
    /// The reply comes after the call.
    Later,
}

/// Why a call of the application led to nothing.
enum CallError {
    Gone,
    Failed(Refusal),
}

impl From<Gone> for CallError {
    fn from(_: Gone) -> CallError {
        CallError::Gone
    }
}

impl From<InvalidResponse> for CallError {
    fn from(error: InvalidResponse) -> CallError {
        log::error!("{error}");
        CallError::Failed(Refusal::ApplicationFailed)
    }
}

impl Worker {
    fn run(&mut self) {
        let mut next = None;
        while let Some(Assignment { token, mut connection, reply }) = next.take().or_else(|| self.wait_for_work()) {
            // A panic of the application is caught where it is called; any other costs its connection.
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(token, &mut connection, reply)));
            match self.give_back(token, connection, served.unwrap_or(Disposition::Close)) {
                Ok(work) => next = work,
                Err(Gone) if self.retires() => return,
                Err(Gone) => {}
            }
        }
    }

    /// Waits for a connection, and leads when promoted; `None` at the end of the server.
    fn wait_for_work(&self) -> Option<Work> {
        let shared = &self.workers.shared;
        let mut state = shared.lock();
        loop {
            if state.scheduler.take_lead() {
                drop(state);
                self.workers.lead();
                state = shared.lock();
            }
            if state.is_closed {
                return None;
            }
            if let Some(work) = state.table.take() {
                state.scheduler.activate();
                return Some(work);
            }
            let this = thread::current();
            state.scheduler.sleep(this.clone());
            loop {
                drop(state);
                thread::park();
                state = shared.lock();
                if state.scheduler.was_woken(&this) {
                    break;
                }
            }
        }
    }

    /// Does what a connection needs until it has to wait.
    fn serve(&mut self, token: Token, connection: &mut Connection, reply: Option<Reply>) -> Disposition {
        if let Some(reply) = reply
            && let Err(Gone) = self.send_reply(token, connection, reply)
        {
            return Disposition::Close;
        }
        loop {
            let served = match connection.advance(&self.workers.shared.limits, &mut self.buffer) {
                Step::Done(disposition) => return disposition,
                Step::Answer(request) => self.answer(token, connection, request),
                Step::JudgeHead(request) => self.judge_head(token, connection, &request),
                Step::ReadResponseBody => self.read_response_body(token, connection),
                Step::Refuse(refusal) => {
                    self.refuse(connection, refusal);
                    Ok(())
                }
            };
            if let Err(Gone) = served {
                return Disposition::Close;
            }
        }
    }

    /// Calls the application for a request. If it replies before it returns, the response is made in the same call.
    fn answer(&mut self, token: Token, connection: &mut Connection, request: Request) -> Result<(), Gone> {
        let client = connection.capabilities();
        let result = self.call(token, connection.response_state(), |worker, reply_token| {
            let Workers { shared, application, .. } = &worker.workers;
            let reply = Responder::call(shared, reply_token, |responder| application.answer(request, responder));
            reply.map_or(Ok(Outcome::Later), |reply| worker.make_response(reply, client))
        });
        self.proceed(connection, result)
    }

    /// Makes the response for a reply that came after the call.
    fn send_reply(&mut self, token: Token, connection: &mut Connection, reply: Reply) -> Result<(), Gone> {
        let client = connection.capabilities();
        let make = |worker: &mut Worker, _| worker.make_response(reply, client);
        let result = self.call(token, connection.response_state(), make);
        self.proceed(connection, result)
    }

    fn judge_head(&mut self, token: Token, connection: &mut Connection, request: &Request) -> Result<(), Gone> {
        let client = connection.capabilities();
        let result = self.call(token, connection.response_state(), |worker, _| {
            let refused = worker.workers.application.refuse_head(request);
            refused.map_or(Ok(Outcome::Continue), |response| worker.make_response(Reply::Ready(response), client))
        });
        if let Ok(Outcome::Continue) = result {
            connection.read_body();
        }
        self.proceed(connection, result)
    }

    /// Reads on in the body of a response. If that fails, the connection ends without the end of the body.
    fn read_response_body(&mut self, token: Token, connection: &mut Connection) -> Result<(), Gone> {
        let state = connection.response_state();
        let Some(writer) = connection.response_writer() else { return Err(Gone) };
        let read = |_: &mut Worker, _| writer.read_body().map(|()| Outcome::Continue).map_err(|_| CallError::Gone);
        self.call(token, state, read).map_or(Err(Gone), |_| Ok(()))
    }

    fn proceed(&mut self, connection: &mut Connection, result: Result<Outcome, CallError>) -> Result<(), Gone> {
        match result {
            Ok(Outcome::Respond(writer)) => connection.respond(writer),
            Ok(Outcome::Continue | Outcome::Later) => {}
            Err(CallError::Failed(refusal)) => self.refuse(connection, refusal),
            Err(CallError::Gone) => return Err(Gone),
        }
        Ok(())
    }

    fn refuse(&mut self, connection: &mut Connection, refusal: Refusal) {
        let head_only = connection.head_only();
        connection.refuse(refusal_writer(&*self.workers.application, refusal, head_only, &mut self.clock));
    }

    /// The bytes of a reply. Whether another request may follow is decided here: the server may have begun to stop.
    fn make_response(&mut self, reply: Reply, client: ClientCapabilities) -> Result<Outcome, CallError> {
        let keep_alive = client.keep_alive && !self.workers.shared.is_stopping();
        let (client, clock) = (ClientCapabilities { keep_alive, ..client }, &mut self.clock);
        Ok(Outcome::Respond(match reply {
            Reply::Ready(response) => ResponseWriter::new(response, client, clock)?,
            Reply::Deferred(make) => ResponseWriter::new(make(), client, clock)?,
            Reply::Stream(head, pieces) => ResponseWriter::stream(&head, pieces, client, clock)?,
            Reply::Dropped => return Err(CallError::Failed(Refusal::ApplicationFailed)),
        }))
    }

    /// Runs the application's code, which may block or panic: handlers and the bodies of responses run here and nowhere
    /// else. (Only its wording of a refusal has no deadline.)
    fn call(
        &mut self,
        token: Token,
        response: ResponseState,
        run: impl FnOnce(&mut Worker, ReplyToken) -> Result<Outcome, CallError>,
    ) -> Result<Outcome, CallError> {
        let mut state = self.workers.shared.lock();
        let reply_token = state.table.begin_call(token, response, Instant::now()).ok_or(CallError::Gone)?;
        state.scheduler.deactivate();
        let successor = state.wake_successor();
        drop(state);
        wake(successor);
        let result = catch_unwind(AssertUnwindSafe(|| run(self, reply_token)));
        let mut state = self.workers.shared.lock();
        state.scheduler.activate();
        let is_later = matches!(result, Ok(Ok(Outcome::Later)));
        let is_current = state.table.end_call(token, is_later, Instant::now());
        drop(state);
        match result {
            _ if !is_current => Err(CallError::Gone),
            Ok(result) => result,
            Err(_) => Err(CallError::Failed(Refusal::ApplicationFailed)),
        }
    }

    /// Gives a connection back, and takes the next one.
    fn give_back(
        &self,
        token: Token,
        connection: Box<Connection>,
        disposition: Disposition,
    ) -> Result<Option<Work>, Gone> {
        let shared = &self.workers.shared;
        let (stream, response, now) = (connection.stream().clone(), connection.response_state(), Instant::now());
        let mut state = shared.lock();
        state.scheduler.deactivate();
        if !state.table.is_current(token) {
            drop(state);
            discard(connection);
            return Err(Gone);
        }
        let is_stopping = state.is_stopping;
        let (mut work, mut removed, mut unused) = (None, None, None);
        match disposition {
            Disposition::AwaitApplication => {
                work = state.table.await_application(token, connection, response, now);
            }
            Disposition::Requeue => state.table.requeue(token, connection, now),
            Disposition::AwaitClient { phase, .. }
                if is_stopping && phase == Phase::Idle && !state.table.is_readable(token) =>
            {
                unused = Some(connection);
            }
            Disposition::AwaitClient { phase, progress } => state.table.park(token, connection, phase, progress, now),
            Disposition::Linger | Disposition::Close => unused = Some(connection),
        }
        if disposition == Disposition::Linger {
            removed = state.table.linger(token.key, now);
        } else if unused.is_some() {
            removed = state.table.remove(token.key);
        }
        work = work.or_else(|| state.table.take());
        if work.is_some() {
            state.scheduler.activate();
        }
        drop(state);
        shared.close_removed(removed);
        discard(unused);
        if disposition == Disposition::Linger {
            shared.rearm(token.key, &stream);
        }
        // The poller ends when the last connection is closed.
        if is_stopping {
            shared.wake_poller();
        }
        Ok(work)
    }

    /// Whether this worker, which was stuck, ends, since another was started in its place.
    fn retires(&self) -> bool {
        let mut state = self.workers.shared.lock();
        let retires = state.scheduler.retire_surplus();
        let woken = if retires { state.wake_for_queue() } else { None };
        drop(state);
        wake(woken);
        retires
    }
}
