//! What has the listener and every connection that waits for its client; one thread at a time runs it. What it answers
//! itself are requests that there is no room for, and those whose time is over.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, refuse};
use super::head::{self, Scanner};
use super::response::Clock;
use super::table::{Ending, Expired, Readiness, Told};
use super::{Length, Limits, Refusal, Shared, workers};

/// The listener's key, and that of who ends the wait; connections have the numbers from 0.
const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Sockets that are told of at once.
const EVENTS_AT_ONCE: usize = 256;

/// Connections that are accepted before others are looked at.
const ACCEPT_AT_ONCE: usize = 256;

/// Connections that are told that their time is over before others are looked at.
const EXPIRED_AT_ONCE: usize = 64;

/// How long accepting rests after an error: most likely something has run out, and the listener would say at once
/// and without end that it is readable.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Reads at once of what a lingering client sends; one that sends faster than that is not waiting for its answer.
const DISCARDED_AT_ONCE: usize = 16;

/// Deadlines are kept to within this, but for those that are shorter.
const TICK: Duration = Duration::from_millis(500);

/// The least time between two looks at the deadlines.
const LEAST_TICK: Duration = Duration::from_millis(10);

/// Says so at most this often that requests are refused for want of room.
const BUSY_LOG_PACE: Duration = Duration::from_secs(10);

/// The role of polling. It goes from thread to thread, and exactly one has it, or is being woken to take it.
pub(super) struct Poller {
    shared: Arc<Shared>,
    poll: Poll,
    events: Events,
    /// `None` once the server stops.
    listener: Option<TcpListener>,
    /// Whether there may be more to be accepted, of which nothing tells again.
    more_to_accept: bool,
    /// When to accept again, after an error.
    accept_again: Option<Instant>,
    tick: Duration,
    /// Whether there are further connections whose time is over already.
    more_expired: bool,
    /// The answer to requests that there is no room for, ready to be sent, and when it was made.
    busy: Vec<u8>,
    busy_since: Instant,
    refused: u64,
    next_busy_log: Option<Instant>,
    clock: Clock,
    scratch: Box<[u8]>,
    /// Gone when this is.
    _running: mpsc::Sender<()>,
}

/// Whether this is one request without a body, and nothing else.
fn is_whole_request(input: &[u8], limits: &Limits) -> bool {
    let Ok(Some(range)) = Scanner::default().find(input, limits) else { return false };
    let head = head::parse(&input[range.clone()], limits);
    range.end == input.len() && head.is_ok_and(|head| head.length == Length::Known(0))
}

/// Prepares it for the first thread to poll; the receiver is disconnected when the server has stopped.
///
/// # Errors
/// When the operating system does not let the listener be polled.
pub(super) fn prepare(
    shared: Arc<Shared>,
    poll: Poll,
    listener: TcpListener,
) -> io::Result<(Box<Poller>, mpsc::Receiver<()>)> {
    listener.set_nonblocking(true)?;
    shared.registry.register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let limits = &shared.limits;
    let shortest =
        [limits.head_timeout, limits.body_timeout, limits.idle_timeout, limits.write_timeout, limits.request_timeout];
    let shortest = shortest.into_iter().min().unwrap_or(TICK);
    let mut clock = Clock::default();
    let (running, finished) = mpsc::channel();
    let poller = Poller {
        busy: refuse(&shared, Refusal::Busy, false, &mut clock).unwritten().to_vec(),
        busy_since: Instant::now(),
        shared,
        poll,
        events: Events::with_capacity(EVENTS_AT_ONCE),
        listener: Some(listener),
        more_to_accept: false,
        accept_again: None,
        tick: TICK.min(shortest / 10).max(LEAST_TICK),
        more_expired: false,
        refused: 0,
        next_busy_log: None,
        clock,
        scratch: vec![0; 16 * 1024].into(),
        _running: running,
    };
    Ok((Box::new(poller), finished))
}

impl Poller {
    /// Polls until there is something to do for this thread, or the server has stopped. In the first case another
    /// thread is woken, not to do it but to poll: who has it at hand is sooner at it than who has to wake up first.
    pub(super) fn run(mut self: Box<Self>) {
        let shared = self.shared.clone();
        let mut stopped = false;
        while !stopped {
            let mut table = shared.table();
            if let Some(woken) = table.choose_worker() {
                table.poller = Some(self);
                drop(table);
                woken.unpark();
                return;
            }
            drop(table);
            // The server would be deaf without it, so not even a fault of its own ends it.
            stopped = catch_unwind(AssertUnwindSafe(|| self.turn())).unwrap_or_else(|_| {
                thread::sleep(ACCEPT_PAUSE);
                false
            });
        }
    }

    /// Waits for something and sees to it; `true` when the server has stopped.
    fn turn(&mut self) -> bool {
        let is_busy = self.more_expired || (self.more_to_accept && self.accept_again.is_none());
        let timeout = if is_busy { Some(Duration::ZERO) } else { self.timeout() };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                // Nothing a client does can bring this about.
                log::error!(error:%; "Polling failed");
                thread::sleep(ACCEPT_PAUSE);
            }
            _ => {}
        }
        let now = Instant::now();
        self.dispatch(now);
        if self.more_to_accept && self.accept_again.is_none_or(|again| again <= now) {
            self.accept(ACCEPT_AT_ONCE, now);
        }
        self.more_expired = self.end_expired(now);
        self.log_refused(now);
        self.shared.is_stopping() && self.stop(now)
    }

    /// How long to wait for sockets at most: without any connection, for ever.
    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let deadline = self.shared.table().next_deadline();
        // A worker may set an earlier deadline than there is now; it is met within a tick.
        let tick = deadline.map(|deadline| deadline.saturating_duration_since(now).clamp(LEAST_TICK, self.tick));
        let others = [self.accept_again, self.next_busy_log].into_iter().flatten();
        others.map(|moment| moment.saturating_duration_since(now)).chain(tick).min()
    }

    /// Puts what is ready into the queue.
    fn dispatch(&mut self, now: Instant) {
        let (mut unwanted, mut lingering) = (Vec::new(), Vec::new());
        let mut table = self.shared.table();
        for event in &self.events {
            let key = match event.token() {
                LISTENER => {
                    self.more_to_accept = true;
                    continue;
                }
                WAKER => continue,
                Token(key) => key,
            };
            // The end of a connection, and an error, are found by reading or writing.
            let ended = event.is_read_closed() || event.is_write_closed() || event.is_error();
            let told = Told { readable: event.is_readable() || ended, writable: event.is_writable() || ended, ended };
            match table.ready(key, told, now) {
                Readiness::Queued | Readiness::Ignored => {}
                Readiness::NoRoom(stream) => unwanted.push((key, stream)),
                Readiness::Lingering(stream) => lingering.push((key, stream)),
            }
        }
        drop(table);
        for (key, stream) in lingering {
            self.discard(key, &stream);
        }
        for (key, stream) in unwanted {
            self.refuse_for_want_of_room(key, &stream, now);
        }
    }

    /// Throws away what a lingering client still sends, until it closes or has sent too much.
    fn discard(&mut self, key: usize, mut stream: &TcpStream) {
        for _ in 0..DISCARDED_AT_ONCE {
            match stream.read(&mut self.scratch) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => break,
            }
        }
        self.shared.close(key);
    }

    /// Answers a request that nobody has the time to read.
    fn refuse_for_want_of_room(&mut self, key: usize, mut stream: &TcpStream, now: Instant) {
        // What came is read, or closing would reset the connection and take the answer with it.
        let read = match stream.read(&mut self.scratch) {
            // Nobody is there to be answered.
            Ok(0) => return self.shared.close(key),
            read => read.unwrap_or(0),
        };
        self.refused += 1;
        self.shared.refused_busy.fetch_add(1, Ordering::Relaxed);
        if now.saturating_duration_since(self.busy_since) >= Duration::from_secs(1) {
            // It has the time in it.
            self.busy = refuse(&self.shared, Refusal::Busy, false, &mut self.clock).unwritten().to_vec();
            self.busy_since = now;
        }
        let _ = stream.write(&self.busy);
        if is_whole_request(&self.scratch[..read], &self.shared.limits) {
            // Nothing more is coming, and there may be many of these.
            self.shared.close(key);
        } else {
            self.linger(key, stream, now);
        }
    }

    fn linger(&mut self, key: usize, stream: &TcpStream, now: Instant) {
        let _ = stream.shutdown(Shutdown::Write);
        let excess = self.shared.table().linger(key, now);
        self.shared.end(excess);
        self.shared.tell_again(key, stream);
    }

    fn accept(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, client)) => self.admit(stream, client, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.more_to_accept = false;
                    break;
                }
                // Of a client that has gone again, and of a signal, the next accept knows nothing.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    if self.accept_again.is_none() {
                        log::warn!(error:%; "Cannot accept connections, trying on");
                    }
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
        if self.accept_again.take().is_some() {
            log::info!("Accepting connections again");
        }
    }

    /// Takes a new connection in; the one that has been idle for longest gives way where there are too many.
    fn admit(&mut self, stream: TcpStream, client: SocketAddr, now: Instant) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let connection = Box::new(Connection::new(stream, client));
        let stream = connection.stream().clone();
        let mut table = self.shared.table();
        let is_full = table.count() >= self.shared.limits.max_connections;
        let longest_idle = if is_full { table.longest_idle() } else { None };
        let key = table.insert(connection, now);
        drop(table);
        // It is told of once whenever something new comes, and needs no further system call.
        if self.shared.register(key, &stream).is_err() {
            self.shared.close(key);
            return;
        }
        match longest_idle {
            Some(idle) => self.shared.close(idle),
            None if is_full => self.refuse_for_want_of_room(key, &stream, now),
            None => {}
        }
    }

    /// Ends what has taken too long, and says whether there may be more of it.
    fn end_expired(&mut self, now: Instant) -> bool {
        // All under one lock: no worker may take what is in the queue, and the answer of one that is stuck is nobody's.
        let (mut stuck, mut stuck_workers) = (Vec::new(), 0);
        let mut table = self.shared.table();
        let expired = table.expired(now, EXPIRED_AT_ONCE);
        for Expired { key, ending, holds_worker, .. } in &expired {
            stuck_workers += usize::from(*holds_worker);
            match ending {
                Ending::Silent => {}
                Ending::LastTry => table.try_last(*key, now),
                Ending::Refused(_) => table.claim(*key),
                Ending::Stuck { .. } | Ending::StuckMidway => stuck.extend(table.remove(*key)),
            }
        }
        drop(table);
        let more = expired.len() == EXPIRED_AT_ONCE;
        for Expired { key, stream, ending, .. } in expired {
            match ending {
                Ending::Silent => self.shared.close(key),
                Ending::LastTry | Ending::StuckMidway => {}
                Ending::Refused(refusal) => {
                    let output = refuse(&self.shared, refusal, false, &mut self.clock);
                    let _ = (&*stream).read(&mut self.scratch);
                    let _ = (&*stream).write(output.unwritten());
                    self.linger(key, &stream, now);
                }
                Ending::Stuck { head_only } => {
                    let output = refuse(&self.shared, Refusal::AnswerTooSlow, head_only, &mut self.clock);
                    let _ = (&*stream).write(output.unwritten());
                }
            }
        }
        for forgotten in stuck {
            self.shared.end(Some(forgotten));
        }
        for _ in 0..stuck_workers {
            self.replace_worker();
        }
        more
    }

    /// Starts a worker in the place of one that is stuck.
    fn replace_worker(&self) {
        let mut table = self.shared.table();
        if table.surplus < self.shared.limits.workers {
            table.surplus += 1;
            drop(table);
            if let Err(error) = workers::start(&self.shared, None) {
                log::error!(error:%; "Cannot start a worker in the place of one that is stuck");
                self.shared.table().surplus -= 1;
            }
        }
    }

    fn log_refused(&mut self, now: Instant) {
        if self.refused > 0 && self.next_busy_log.is_none_or(|next| next <= now) {
            log::warn!(refused = self.refused; "More requests than there is room for");
            self.refused = 0;
            self.next_busy_log = Some(now + BUSY_LOG_PACE);
        } else if self.next_busy_log.is_some_and(|next| next <= now) {
            self.next_busy_log = None;
        }
    }

    /// Goes on stopping, and says whether that is done.
    fn stop(&mut self, now: Instant) -> bool {
        if self.listener.is_some() {
            self.stop_listening(now);
        }
        let idle = self.shared.table().idle();
        self.close_all(idle);
        let mut table = self.shared.table();
        table.closed |= table.is_empty();
        if !table.closed {
            return false;
        }
        let (rest, sleepers) = (table.all(), table.sleepers());
        drop(table);
        self.close_all(rest);
        sleepers.iter().for_each(Thread::unpark);
        true
    }

    fn close_all(&self, keys: Vec<usize>) {
        for key in keys {
            self.shared.close(key);
        }
    }

    /// Closes the listener. What has come until now is still answered: connections that wait to be accepted, and
    /// requests on idle connections that the poller has not told of.
    fn stop_listening(&mut self, now: Instant) {
        self.accept(usize::MAX, now);
        self.accept_again = None;
        if let Some(listener) = self.listener.take() {
            let _ = self.shared.registry.deregister(&mut SourceFd(&listener.as_raw_fd()));
        }
        while self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_ok() {
            self.dispatch(now);
            if self.events.iter().count() < EVENTS_AT_ONCE {
                break;
            }
        }
    }
}
