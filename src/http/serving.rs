//! What a worker does for a connection: it advances it and calls the application. Worker and application meet here: this is
//! the life of a request as the server sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::application::refusal_writer;
use super::budget::MAX_PIECE_BYTES;
use super::connection::{BodyBounds, Connection};
use super::head::Head;
use super::refusal::Refusal;
use super::reply::Reply;
use super::responder::{Responder, call};
use super::response_head::ClientCapabilities;
use super::response_writer::{Pull, ResponseWriter, Source};
use super::scheduler::Scheduler;
use super::slot::{ResponseState, Token};
use super::step::{Disposition, Step};
use super::worker::{Work, Worker};

/// Whether the code of a call may block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocking {
    May,
    Never,
}

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
    /// Does what a connection needs until it has to wait.
    pub(super) fn serve(&mut self, work: &mut Work) -> Disposition {
        // A reply that came after the call.
        let mut goes_on = work.reply.take().is_none_or(|reply| {
            // What is decrypted and written as JSON takes as long as many responses from memory.
            let is_made = matches!(reply, Reply::Piece(_) | Reply::Deferred(..));
            let blocking = if is_made { Blocking::May } else { Blocking::Never };
            self.call(work, blocking, |worker, connection, _| worker.make_response(connection, reply))
        });
        while goes_on {
            let limits = &self.shared.limits;
            let max_bytes = |head: &Head| {
                let own = self.application.max_body_bytes(&head.method, &head.target);
                own.unwrap_or(limits.max_body_bytes)
            };
            let bodies = BodyBounds { max_bytes: &max_bytes, budget: &self.shared.budget };
            goes_on = match work.connection.advance(limits, bodies, &mut self.buffer) {
                Step::Done(disposition) => return disposition,
                // If the application replies before it returns, the response is made in the same call.
                Step::Answer(request) => {
                    let is_quick = self.application.is_quick(request.method(), request.raw_url());
                    let blocking = if is_quick { Blocking::Never } else { Blocking::May };
                    self.call(work, blocking, |worker, connection, token| {
                        let responder = Responder::new(&worker.shared, token, connection.peer);
                        let reply = call(&worker.shared, token, || worker.application.answer(request, responder));
                        reply.map_or(Outcome::Deferred, |reply| worker.make_response(connection, reply))
                    })
                }
                Step::CheckHead(request) => self.call(work, Blocking::May, |worker, connection, _| {
                    if let Some(response) = worker.application.refuse_head(&request) {
                        return worker.make_response(connection, Reply::Ready(response, connection.peer));
                    }
                    connection.read_body();
                    Outcome::Continue
                }),
                Step::AskForPiece => self.call(work, Blocking::May, |worker, connection, token| {
                    let shared = worker.shared.clone();
                    let Some(writer) = connection.response_writer() else { return Outcome::Close };
                    let reserve = |client, has_begun| shared.budget.reserve(token, client, MAX_PIECE_BYTES, has_begun);
                    if !writer.reserve_piece(reserve) {
                        return Outcome::Deferred;
                    }
                    let reply = writer.ask_for_piece().and_then(|ask| call(&shared, token, ask));
                    reply.map_or(Outcome::Deferred, |reply| worker.make_response(connection, reply))
                }),
                // If reading fails, the connection ends without the end of the body.
                Step::ReadResponseBody => self.call(work, Blocking::May, |_, connection, _| {
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

    /// The bytes of a reply. Whether another request may follow is decided here: the server may have begun to drain.
    fn make_response(&mut self, connection: &mut Connection, reply: Reply) -> Outcome {
        let capabilities = connection.capabilities();
        let keep_alive = capabilities.keep_alive && !self.shared.is_draining();
        let capabilities = ClientCapabilities { keep_alive, ..capabilities };
        // What is made for a request is in memory for it alone.
        let is_at_hand = matches!(reply, Reply::Ready(..));
        let (response, pieces, client) = match reply {
            Reply::Ready(response, client) => (response, None, client),
            Reply::Deferred(make, client) => (make(), None, client),
            Reply::Stream(head, pieces, client) => (head, Some(Source::Stream(pieces)), client),
            // The response to `HEAD` has no pieces.
            Reply::Pull(.., client) if !capabilities.head_only && self.shared.budget.is_overloaded(client) => {
                return Outcome::Refuse(Refusal::Busy);
            }
            Reply::Pull(head, ask, client) => (head, Some(Source::Pull(Box::new(Pull::new(ask, client)))), client),
            Reply::Memory(memory) => {
                let Some(writer) = connection.response_writer() else { return Outcome::Close };
                writer.receive_memory(memory);
                return Outcome::Continue;
            }
            Reply::Piece(make) => {
                let (Some(piece), Some(writer)) = (make(), connection.response_writer()) else { return Outcome::Close };
                writer.receive_piece(piece);
                return Outcome::Continue;
            }
            Reply::Dropped if connection.response_state().head_sent => return Outcome::Close,
            Reply::Dropped => return Outcome::Refuse(Refusal::ApplicationFailed),
        };
        match ResponseWriter::new(response, pieces, capabilities, &mut self.clock) {
            Ok(mut writer) => {
                let has_memory = writer.reserve(self.shared.budget.empty(client), is_at_hand) || capabilities.head_only;
                if has_memory { Outcome::Respond(writer) } else { Outcome::Refuse(Refusal::Busy) }
            }
            Err(error) => {
                log::error!("the response cannot be sent: {error}");
                Outcome::Refuse(Refusal::ApplicationFailed)
            }
        }
    }

    pub(super) fn refuse(&mut self, connection: &mut Connection, refusal: Refusal) {
        if refusal == Refusal::Busy {
            self.shared.refused_busy.fetch_add(1, Ordering::Relaxed);
        }
        let ResponseState { head_only, refused_fields, .. } = connection.response_state();
        let writer = refusal_writer(&*self.application, refusal, &refused_fields, head_only, &mut self.clock);
        connection.refuse(writer);
    }

    /// Runs the application's code, which may panic, here and nowhere else but for its wording of a refusal. `false` if it took too
    /// long or failed in a response, so that the connection does not go on.
    ///
    /// Where it may block, it has a deadline, and first somebody is found to poll and to serve meanwhile. Code that never blocks has
    /// neither, and needs no lock.
    fn call(
        &mut self,
        work: &mut Work,
        blocking: Blocking,
        run: impl FnOnce(&mut Worker, &mut Connection, Token) -> Outcome,
    ) -> bool {
        let response = work.connection.response_state();
        let failed = if response.head_sent { Outcome::Close } else { Outcome::Refuse(Refusal::ApplicationFailed) };
        if blocking == Blocking::May && !self.begin_call(work, response) {
            return false;
        }
        let token = work.token;
        let outcome = catch_unwind(AssertUnwindSafe(|| run(self, &mut work.connection, token))).unwrap_or(failed);
        if blocking == Blocking::May && !self.end_call(token, &outcome) {
            return false;
        }
        match outcome {
            Outcome::Close => return false,
            Outcome::Respond(writer) => work.connection.respond(writer),
            Outcome::Refuse(refusal) => self.refuse(&mut work.connection, refusal),
            Outcome::Continue | Outcome::Deferred => {}
        }
        true
    }

    /// `false` if the connection is gone.
    fn begin_call(&self, work: &mut Work, response: ResponseState) -> bool {
        let mut state = self.shared.lock();
        let Some(token) = state.table.begin_call(work.token, response, Instant::now()) else { return false };
        work.token = token;
        state.scheduler.active_workers -= 1;
        let is_watched = self.shared.watch(&mut state);
        let successor = if is_watched { None } else { state.wake(Scheduler::wake_successor) };
        drop(state);
        self.shared.wake(successor);
        true
    }

    /// `false` if the connection is gone.
    fn end_call(&self, token: Token, outcome: &Outcome) -> bool {
        let mut state = self.shared.lock();
        state.scheduler.active_workers += 1;
        // Before the response is written: the client's acknowledgement of that is an event, too.
        self.shared.end_watch(&mut state);
        state.table.end_call(token, matches!(outcome, Outcome::Deferred), Instant::now())
    }
}
