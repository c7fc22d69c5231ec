//! Polls the listener and every connection that waits for its client; one worker at a time, the leader, runs it. It refuses
//! requests for which there is no room, and ends those whose time is over.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::acceptor::Acceptor;
use super::application::{Application, BusyRefusal, refusal_writer};
use super::connection::Connection;
use super::deadlines::Phase;
use super::head::{self, HeadScanner, Length};
use super::limits::Limits;
use super::refusal::Refusal;
use super::response_head::DateClock;
use super::shared::{Shared, run_callback};
use super::slot::{Dispatch, Expired, Readiness};

/// The keys of the listener and of the waker; connections have the numbers from 0.
const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Events, and new connections, of one call of `poll_once` at most.
const MAX_EVENTS: usize = 256;

/// Connections whose deadline has passed that are ended before others are served.
const MAX_EXPIRED: usize = 64;

/// Reads of what a lingering client sends, in a row. A client that sends more than that does not wait for its response.
const MAX_DRAINING_READS: usize = 16;

/// Deadlines are kept to within this time, or to a tenth of the shortest of them.
const TICK: Duration = Duration::from_millis(500);

/// The least time between two looks at the deadlines.
const MIN_TICK: Duration = Duration::from_millis(10);

/// The wait after an error that must not be repeated at once.
pub(super) const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The state of polling.
pub(super) struct Poller {
    shared: Arc<Shared>,
    application: Arc<dyn Application>,
    poll: Poll,
    events: Events,
    /// `None` once the server stops.
    acceptor: Option<Acceptor>,
    tick: Duration,
    /// More deadlines have passed than one call deals with.
    has_more_expired: bool,
    busy: BusyRefusal,
    clock: DateClock,
    buffer: Box<[u8]>,
    /// Dropped when the server has stopped.
    running: Option<mpsc::Sender<()>>,
}

impl Poller {
    /// A poller, and a receiver that is disconnected when the server has stopped.
    pub(super) fn new(
        shared: Arc<Shared>,
        application: Arc<dyn Application>,
        poll: Poll,
        listener: TcpListener,
    ) -> io::Result<(Poller, mpsc::Receiver<()>)> {
        let acceptor = Acceptor::new(listener, poll.registry(), LISTENER)?;
        let Limits { head_timeout, body_timeout, idle_timeout, write_timeout, request_timeout, .. } = shared.limits;
        let timeouts = [head_timeout, body_timeout, idle_timeout, write_timeout, request_timeout];
        let shortest = timeouts.into_iter().min().unwrap_or(TICK);
        let mut clock = DateClock::default();
        let (running, finished) = mpsc::channel();
        let poller = Poller {
            busy: BusyRefusal::new(&*application, &mut clock, Instant::now()),
            tick: TICK.min(shortest / 10).max(MIN_TICK),
            shared,
            application,
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            acceptor: Some(acceptor),
            has_more_expired: false,
            clock,
            buffer: vec![0; 16 * 1024].into(),
            running: Some(running),
        };
        Ok((poller, finished))
    }

    /// Waits for events and deals with them. Returns how many workers are stuck in the application, whose connections were
    /// ended; `None` once the server has stopped.
    pub(super) fn poll_once(&mut self) -> Option<usize> {
        let has_work =
            self.has_more_expired || self.acceptor.as_ref().is_some_and(|acceptor| acceptor.is_ready(Instant::now()));
        let timeout = if has_work { Some(Duration::ZERO) } else { self.timeout() };
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // No client can cause this.
            log::error!(error:%; "Polling failed");
            thread::sleep(ERROR_PAUSE);
        }
        let now = Instant::now();
        self.dispatch(now);
        self.accept(MAX_EVENTS, now);
        let stuck_workers = self.end_expired(now);
        self.busy.log(now);
        let has_stopped = self.shared.is_stopping() && self.stop(now);
        (!has_stopped).then_some(stuck_workers)
    }

    /// How long to wait for events at most; without any connection, for ever.
    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let deadline = self.shared.lock().table.deadlines.next();
        // A worker may set an earlier deadline in the meantime; it is kept to within a tick.
        let tick = deadline.map(|deadline| deadline.saturating_duration_since(now).clamp(MIN_TICK, self.tick));
        let resume_at = self.acceptor.as_ref().and_then(|acceptor| acceptor.resume_at);
        let others = [resume_at, self.busy.next_log()].into_iter().flatten();
        others.map(|moment| moment.saturating_duration_since(now)).chain(tick).min()
    }

    /// Queues the connections that are ready.
    fn dispatch(&mut self, now: Instant) {
        let (mut dispatched, mut disconnected) = (Vec::new(), Vec::new());
        let mut state = self.shared.lock();
        for event in &self.events {
            let key = match event.token() {
                LISTENER => {
                    self.acceptor.iter_mut().for_each(|acceptor| acceptor.is_readable = true);
                    continue;
                }
                WAKER => continue,
                Token(key) => key,
            };
            // A read or a write finds the end of a connection, or its error.
            let ended = event.is_read_closed() || event.is_write_closed() || event.is_error();
            let readiness =
                Readiness { readable: event.is_readable() || ended, writable: event.is_writable() || ended, ended };
            dispatched.extend(state.table.ready(key, readiness, now).map(|dispatch| (key, dispatch)));
            if ended {
                disconnected.extend(state.table.take_disconnected(key));
            }
        }
        drop(state);
        disconnected.into_iter().for_each(run_callback);
        for (key, dispatch) in dispatched {
            match dispatch {
                Dispatch::RefuseBusy(stream) => self.refuse_busy(key, &stream, now),
                Dispatch::Drain(stream) => self.drain(key, &stream),
            }
        }
    }

    /// Discards what a lingering client sends, until it closes or has sent too much.
    fn drain(&mut self, key: usize, mut stream: &TcpStream) {
        for _ in 0..MAX_DRAINING_READS {
            match stream.read(&mut self.buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => break,
            }
        }
        self.shared.close(key);
    }

    /// Refuses a request for which there is no room, without parsing it.
    fn refuse_busy(&mut self, key: usize, mut stream: &TcpStream, now: Instant) {
        // The input is read, or closing would reset the connection and discard the response with it.
        let read = match stream.read(&mut self.buffer) {
            Ok(0) => return self.shared.close(key),
            read => read.unwrap_or(0),
        };
        self.shared.refused_busy.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write(self.busy.response(&*self.application, &mut self.clock, now));
        if is_whole_request(&self.buffer[..read], &self.shared.limits) {
            // The client sends nothing more, and there may be many of these.
            self.shared.close(key);
        } else {
            self.linger(key, stream, now);
        }
    }

    fn linger(&mut self, key: usize, stream: &TcpStream, now: Instant) {
        let _ = stream.shutdown(Shutdown::Write);
        let removed = self.shared.lock().table.linger(key, now);
        removed.into_iter().for_each(|removed| self.shared.close_removed(removed));
        self.shared.rearm(key, stream);
    }

    /// Accepts up to `max` connections. Above the limit the least recently used idle one is closed, or the new one refused.
    fn accept(&mut self, max: usize, now: Instant) {
        let Some(acceptor) = self.acceptor.as_mut().filter(|acceptor| acceptor.is_ready(now)) else { return };
        for (stream, client) in acceptor.accept(max, now) {
            if stream.set_nonblocking(true).is_ok() {
                self.admit(Connection::new(stream, client), now);
            }
        }
    }

    fn admit(&mut self, connection: Connection, now: Instant) {
        let stream = connection.stream().clone();
        let mut state = self.shared.lock();
        let is_full = state.table.count() >= self.shared.limits.max_connections;
        let least_recently_used = if is_full { state.table.deadlines.keys(Phase::Idle).next() } else { None };
        let key = state.table.insert(stream.clone(), Box::new(connection), now);
        drop(state);
        match least_recently_used {
            _ if self.shared.register(key, &stream).is_err() => self.shared.close(key),
            Some(idle) => self.shared.close(idle),
            None if is_full => self.refuse_busy(key, &stream, now),
            None => {}
        }
    }

    /// Ends connections whose deadline has passed, and returns how many workers are stuck on them.
    fn end_expired(&mut self, now: Instant) -> usize {
        let expired = self.shared.lock().table.expire(now, MAX_EXPIRED);
        self.has_more_expired = expired.len() == MAX_EXPIRED;
        let mut stuck_workers = 0;
        for expired in expired {
            match expired {
                Expired::Queued => {}
                Expired::Refuse(key, stream, refusal) => {
                    let _ = (&*stream).read(&mut self.buffer);
                    self.write_refusal(&stream, refusal, false);
                    self.linger(key, &stream, now);
                }
                Expired::Close(removed) => self.shared.close_removed(removed),
                Expired::Abandon { removed, response, is_worker_stuck } => {
                    stuck_workers += usize::from(is_worker_stuck);
                    if !response.head_sent {
                        self.write_refusal(&removed.stream, Refusal::AnswerTooSlow, response.head_only);
                    }
                    self.shared.close_removed(removed);
                }
            }
        }
        stuck_workers
    }

    fn write_refusal(&mut self, mut stream: &TcpStream, refusal: Refusal, head_only: bool) {
        let writer = refusal_writer(&*self.application, refusal, head_only, &mut self.clock);
        let _ = stream.write(writer.unwritten());
    }

    /// Goes on stopping, and says whether that is finished.
    fn stop(&mut self, now: Instant) -> bool {
        self.stop_listening(now);
        let idle: Vec<usize> = self.shared.lock().table.deadlines.keys(Phase::Idle).collect();
        self.close_all(idle);
        let mut state = self.shared.lock();
        state.is_closed |= state.table.is_empty();
        if !state.is_closed {
            return false;
        }
        let (rest, sleepers) = (state.table.keys(), mem::take(&mut state.scheduler.sleepers));
        drop(state);
        self.close_all(rest);
        sleepers.iter().for_each(Thread::unpark);
        self.running = None;
        true
    }

    fn close_all(&self, keys: Vec<usize>) {
        keys.into_iter().for_each(|key| self.shared.close(key));
    }

    /// Closes the listener; what has arrived in its backlog and on idle connections is still served.
    fn stop_listening(&mut self, now: Instant) {
        self.acceptor.iter_mut().for_each(|acceptor| acceptor.is_readable = true);
        self.accept(usize::MAX, now);
        if self.acceptor.take().is_none() {
            return;
        }
        while self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_ok() {
            self.dispatch(now);
            if self.events.iter().count() < MAX_EVENTS {
                break;
            }
        }
    }
}

/// Whether this is one request without a body, and nothing else.
fn is_whole_request(input: &[u8], limits: &Limits) -> bool {
    let Ok(Some(range)) = HeadScanner::default().find(input, limits) else { return false };
    let head = head::parse(&input[range.clone()], limits);
    range.end == input.len() && head.is_ok_and(|head| head.length == Length::Known(0))
}
