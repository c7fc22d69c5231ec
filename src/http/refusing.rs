//! What the poller does with connections that it does not hand to a worker: it refuses requests for which there is no room,
//! and ends those whose time is over.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::application::refusal_writer;
use super::head::{self, HeadScanner, Length};
use super::limits::Limits;
use super::poller::Poller;
use super::refusal::{Refusal, RefusedFields};
use super::shared::Shared;
use super::slot::{Expired, ResponseState};
use crate::memory;

/// Connections whose deadline has passed that are ended before others are served.
const MAX_EXPIRED: usize = 64;

/// Reads of what a lingering client sends, in a row. A client that sends more than that does not wait for its response.
const MAX_DRAINING_READS: usize = 16;

/// Bytes of a request by which it is known that it is never refused: more than the longest target that the application has.
const BEGINNING_BYTES: usize = 128;

impl Poller {
    /// Discards what a lingering client sends, until it closes or has sent too much.
    pub(super) fn drain(&mut self, key: usize, mut stream: &TcpStream) {
        for _ in 0..MAX_DRAINING_READS {
            match stream.read(&mut self.buffer) {
                Ok(read @ 1..) => memory::overwrite(&mut self.buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => break,
            }
        }
        self.shared.close(key);
    }

    pub(super) fn is_never_refused(&self, stream: &TcpStream) -> bool {
        let mut beginning = [0; BEGINNING_BYTES];
        stream.peek(&mut beginning).is_ok_and(|read| self.application.is_never_refused(&beginning[..read]))
    }

    /// Refuses a request for which there is no room.
    pub(super) fn refuse_busy(&mut self, key: usize, stream: &TcpStream, now: Instant) {
        self.refuse_unparsed(key, stream, now, |shared| &shared.refused_busy);
    }

    /// Refuses a request of a peer that has its share.
    pub(super) fn refuse_peer(&mut self, key: usize, stream: &TcpStream, now: Instant) {
        self.refuse_unparsed(key, stream, now, |shared| &shared.refused_of_peers);
    }

    /// Refuses a request without parsing it, and counts that, unless the client has closed the connection.
    fn refuse_unparsed(&mut self, key: usize, mut stream: &TcpStream, now: Instant, count: fn(&Shared) -> &AtomicU64) {
        // The input is read, or closing would reset the connection and discard the response with it.
        let read = match stream.read(&mut self.buffer) {
            Ok(0) => return self.shared.close(key),
            read => read.unwrap_or(0),
        };
        count(&self.shared).fetch_add(1, Ordering::Relaxed);
        let fields = self.take_fields(key, read);
        let _ = stream.write(self.busy.response(&*self.application, &fields, &mut self.clock, now));
        let is_whole = is_whole_request(&self.buffer[..read], &self.shared.limits);
        memory::overwrite(&mut self.buffer[..read]);
        if is_whole {
            // The client sends nothing more, and there may be many of these.
            self.shared.close(key);
        } else {
            self.linger(key, stream, now);
        }
    }

    /// What the refusal of a request can depend on, after so many bytes were read from its socket.
    fn take_fields(&self, key: usize, read: usize) -> RefusedFields {
        let connection = self.shared.lock().table.slots[key].connection.take();
        connection.map(|connection| connection.into_refused_fields(&self.buffer[..read])).unwrap_or_default()
    }

    /// Refuses incomplete requests of peers that have too many.
    pub(super) fn refuse_giving_way(&mut self, now: Instant) {
        let giving_way = self.shared.lock().table.take_giving_way();
        giving_way.into_iter().for_each(|(key, stream)| self.refuse_peer(key, &stream, now));
    }

    fn linger(&mut self, key: usize, stream: &TcpStream, now: Instant) {
        let _ = stream.shutdown(Shutdown::Write);
        let removed = self.shared.lock().table.linger(key, now);
        removed.into_iter().for_each(|removed| self.shared.close_removed(removed));
        self.shared.rearm(key, stream);
    }

    /// Ends connections whose deadline has passed, and returns how many workers are stuck on them.
    pub(super) fn end_expired(&mut self, now: Instant) -> usize {
        let expired = self.shared.lock().table.expire(now, MAX_EXPIRED);
        self.has_more_expired = expired.len() == MAX_EXPIRED;
        let mut stuck_workers = 0;
        for expired in expired {
            match expired {
                Expired::Queued => {}
                Expired::Refuse(key, stream, refusal) => {
                    let read = (&*stream).read(&mut self.buffer).unwrap_or(0);
                    let fields = self.take_fields(key, read);
                    memory::overwrite(&mut self.buffer[..read]);
                    self.write_refusal(&stream, refusal, &fields, false);
                    self.linger(key, &stream, now);
                }
                Expired::Close(removed) => self.shared.close_removed(removed),
                Expired::Abandon { removed, response, is_worker_stuck } => {
                    stuck_workers += usize::from(is_worker_stuck);
                    if !response.head_sent {
                        let ResponseState { head_only, refused_fields, .. } = response;
                        self.write_refusal(&removed.stream, Refusal::AnswerTooSlow, &refused_fields, head_only);
                    }
                    self.shared.close_removed(removed);
                }
            }
        }
        stuck_workers
    }

    fn write_refusal(&mut self, mut stream: &TcpStream, refusal: Refusal, fields: &RefusedFields, head_only: bool) {
        let writer = refusal_writer(&*self.application, refusal, fields, head_only, &mut self.clock);
        let _ = stream.write(writer.unwritten());
    }
}

/// Whether this is one request without a body, and nothing else.
fn is_whole_request(input: &[u8], limits: &Limits) -> bool {
    let Ok(Some(range)) = HeadScanner::default().find(input, limits) else { return false };
    let head = head::parse(&input[range.clone()], limits);
    range.end == input.len() && head.is_ok_and(|head| head.length == Length::Known(0))
}
