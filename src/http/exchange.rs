//! One call of the application for a connection, as the table sees it: begun by a worker, answered during the call or later
//! from any thread, and for a stream continued piece by piece.

use std::mem;
use std::time::Instant;

use super::deadlines::Phase;
use super::slot::{Assignment, DisconnectCallback, Holder, Readiness, Removed, ResponseState, Token};
use super::table::Table;

impl<C, R> Table<C, R> {
    /// A worker calls the application. Returns the token of the current request; `None` if the connection is gone.
    pub(super) fn begin_call(&mut self, token: Token, response: ResponseState, now: Instant) -> Option<Token> {
        if !self.is_current(token) {
            return None;
        }
        self.end_incomplete(token.key);
        let slot = &mut self.slots[token.key];
        slot.response = response;
        if matches!(self.deadlines.phase(token.key), Phase::Head | Phase::Body) {
            self.generation += 1;
            (slot.generation, slot.has_piece) = (self.generation, false);
        }
        self.deadlines.enter(token.key, Phase::Answering, now);
        Some(Token { generation: slot.generation, ..token })
    }

    /// A call returns; only for a later reply the application's deadline goes on. `false` if the connection is gone.
    pub(super) fn end_call(&mut self, token: Token, is_later: bool, now: Instant) -> bool {
        let is_current = self.is_current(token);
        if is_current && !is_later {
            self.deadlines.enter(token.key, Phase::Writing, now);
        }
        is_current
    }

    /// Takes back a connection that waits for the application, or returns it with what arrived in the meantime.
    pub(super) fn await_application(
        &mut self,
        token: Token,
        connection: Box<C>,
        response: ResponseState,
        now: Instant,
    ) -> Option<Assignment<C, R>> {
        // Each piece of a stream has the full time; the time for a response began with the call.
        if self.deadlines.phase(token.key) != Phase::Answering {
            self.deadlines.enter(token.key, Phase::Answering, now);
        }
        self.end_incomplete(token.key);
        let slot = &mut self.slots[token.key];
        slot.response = response;
        let reply = slot.reply.take();
        if reply.is_some() || mem::take(&mut slot.has_piece) {
            self.deadlines.enter(token.key, Phase::Writing, now);
            return Some(Assignment { token, connection, reply });
        }
        (slot.connection, slot.holder) = (Some(connection), Holder::Application);
        None
    }

    /// Takes a reply of the application, or returns it if its request is gone.
    pub(super) fn reply(&mut self, token: Token, reply: R, now: Instant) -> Result<(), R> {
        if !self.is_current(token) {
            return Err(reply);
        }
        self.slots[token.key].reply = Some(reply);
        self.resume(token.key, now);
        Ok(())
    }

    /// Gives a connection that waits for the next piece of a stream to the thread that sends it, as to a worker. `None` while
    /// another thread has it, or if it is gone.
    pub(super) fn take_awaiting(&mut self, token: Token, now: Instant) -> Option<Box<C>> {
        let slot = &mut self.slots[token.key];
        if slot.generation != token.generation || slot.holder != Holder::Application || slot.reply.is_some() {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.holder = Holder::Worker;
        slot.readiness.writable = false;
        self.half_closed.remove(&token.key);
        self.deadlines.enter(token.key, Phase::Writing, now);
        Some(connection)
    }

    /// Takes back a connection from the thread that has sent a piece. If another one has arrived meanwhile, a worker writes it.
    pub(super) fn await_piece(&mut self, token: Token, connection: Box<C>, now: Instant) {
        let slot = &mut self.slots[token.key];
        (slot.connection, slot.holder) = (Some(connection), Holder::Application);
        if mem::take(&mut slot.has_piece) {
            self.resume(token.key, now);
        } else {
            self.deadlines.enter(token.key, Phase::Answering, now);
        }
    }

    /// A stream has a piece for a connection that found none.
    pub(super) fn notify(&mut self, token: Token, now: Instant) {
        if self.is_current(token) {
            self.slots[token.key].has_piece = self.slots[token.key].holder != Holder::Application;
            self.resume(token.key, now);
        }
    }

    /// Sets what is called when the client of a request is gone, and returns what it replaces; `Err` if it is to be called
    /// now.
    pub(super) fn set_disconnect_callback(
        &mut self,
        token: Token,
        callback: DisconnectCallback,
    ) -> Result<Option<DisconnectCallback>, DisconnectCallback> {
        let is_current = self.is_current(token);
        let slot = &mut self.slots[token.key];
        // A worker looks for the end when it gives the connection back.
        if !is_current || slot.readiness.ended && slot.holder != Holder::Worker {
            return Err(callback);
        }
        Ok(slot.on_disconnect.replace(callback))
    }

    /// Takes the callback, because the application has done its work.
    pub(super) fn take_disconnect_callback(&mut self, token: Token) -> Option<DisconnectCallback> {
        if self.is_current(token) { self.slots[token.key].on_disconnect.take() } else { None }
    }

    /// Takes the callback to be called, if the client is gone and no worker serves the connection: it may be about to send
    /// the end of the response.
    pub(super) fn take_disconnected(&mut self, key: usize) -> Option<DisconnectCallback> {
        let slot = self.slots.get_mut(key).filter(|slot| slot.readiness.ended && slot.holder != Holder::Worker)?;
        slot.on_disconnect.take()
    }

    /// Removes a connection whose client is gone while the application works on its response: nothing of that can reach
    /// the client. One whose client has only shut its side is kept, but gives way before others.
    pub(super) fn remove_failed(&mut self, key: usize) -> Option<Removed<C, R>> {
        let slot = self.slots.get(key).filter(|slot| slot.stream.is_some() && slot.holder == Holder::Application)?;
        let Readiness { ended, failed, .. } = slot.readiness;
        if failed {
            return self.remove(key);
        }
        if ended {
            self.half_closed.insert(key);
        }
        None
    }

    fn resume(&mut self, key: usize, now: Instant) {
        if self.slots[key].holder == Holder::Application {
            self.deadlines.enter(key, Phase::Writing, now);
            self.enqueue(key, now);
        }
    }
}
