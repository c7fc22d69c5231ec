//! Polls the listener and every connection that waits for its client; one worker at a time, the leader, runs it. It refuses
//! requests for which there is no room, and ends those whose time is over.

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::acceptor::Acceptor;
use super::application::{Application, BusyRefusal};
use super::connection::Connection;
use super::deadlines::Phase;
use super::limits::Limits;
use super::reply::Reply;
use super::response_head::DateClock;
use super::shared::{Shared, discard, run_callback};
use super::slot::{Dispatch, Readiness, Victim};

/// The keys of the listener and of the waker; connections have the numbers from 0.
const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Events, and new connections, of one call of `poll_once` at most.
const MAX_EVENTS: usize = 256;

/// Deadlines are kept to within this time, or to a tenth of the shortest of them.
const TICK: Duration = Duration::from_millis(500);

/// The least time between two looks at the deadlines.
const MIN_TICK: Duration = Duration::from_millis(10);

/// The wait after an error that must not be repeated at once.
pub(super) const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// How closely deadlines are kept.
pub(super) fn tick(limits: &Limits) -> Duration {
    let Limits { head_timeout, body_timeout, idle_timeout, write_timeout, request_timeout, .. } = limits;
    let timeouts = [head_timeout, body_timeout, idle_timeout, write_timeout, request_timeout];
    let shortest = timeouts.into_iter().min().unwrap_or(&TICK);
    TICK.min(*shortest / 10).max(MIN_TICK)
}

/// What [`Poller::poll_once`] led to.
pub(super) enum Polled {
    Waited {
        /// Whether anything happened on a socket.
        has_events: bool,
        /// Workers that are stuck in the application, whose connections were ended.
        stuck_workers: usize,
    },
    /// The server has stopped.
    Stopped,
}

/// The state of polling.
pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) application: Arc<dyn Application>,
    poll: Poll,
    events: Events,
    /// `None` once the server stops.
    acceptor: Option<Acceptor>,
    tick: Duration,
    /// More deadlines have passed than one call deals with.
    pub(super) has_more_expired: bool,
    pub(super) busy: BusyRefusal,
    pub(super) clock: DateClock,
    pub(super) buffer: Box<[u8]>,
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
        let (running, finished) = mpsc::channel();
        let poller = Poller {
            busy: BusyRefusal::new(Instant::now()),
            tick: tick(&shared.limits),
            shared,
            application,
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            acceptor: Some(acceptor),
            has_more_expired: false,
            clock: DateClock::default(),
            buffer: vec![0; 16 * 1024].into(),
            running: Some(running),
        };
        Ok((poller, finished))
    }

    /// Waits for events, for `max_wait` at most, and deals with them.
    pub(super) fn poll_once(&mut self, max_wait: Option<Duration>) -> Polled {
        let has_work =
            self.has_more_expired || self.acceptor.as_ref().is_some_and(|acceptor| acceptor.is_ready(Instant::now()));
        let timeout =
            if has_work { Some(Duration::ZERO) } else { [self.timeout(), max_wait].into_iter().flatten().min() };
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // No client can cause this.
            log::error!(error:%; "Polling failed");
            thread::sleep(ERROR_PAUSE);
        }
        let now = Instant::now();
        self.dispatch(now);
        self.refuse_giving_way(now);
        self.grant_memory(now);
        self.free_memory(now);
        self.accept(MAX_EVENTS, now);
        let stuck_workers = self.end_expired(now);
        self.busy.log(now);
        self.shared.is_poller_due.store(self.is_due(now), Ordering::Relaxed);
        if self.shared.is_stopping() && self.stop(now) {
            return Polled::Stopped;
        }
        Polled::Waited { has_events: !self.events.is_empty(), stuck_workers }
    }

    /// Whether there is something to do, or to look for, that no event reports.
    fn is_due(&self, now: Instant) -> bool {
        let accepts = |acceptor: &Acceptor| acceptor.is_ready(now) || acceptor.resume_at.is_some();
        self.has_more_expired
            || self.acceptor.as_ref().is_some_and(accepts)
            || self.busy.next_log().is_some()
            || self.shared.budget.has_waiters()
    }

    /// How long to wait for events at most; without any connection, for ever.
    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let state = self.shared.lock();
        if state.table.queue.len() > 0 && state.scheduler.may_step_down() {
            return Some(Duration::ZERO);
        }
        let deadline = state.table.deadlines.next();
        drop(state);
        // A worker may set an earlier deadline in the meantime; it is kept to within a tick.
        let tick = deadline.map(|deadline| deadline.saturating_duration_since(now).clamp(MIN_TICK, self.tick));
        let resume_at = self.acceptor.as_ref().and_then(|acceptor| acceptor.resume_at);
        // While responses wait for memory, clients that read nothing are looked for.
        let stalled_at = self.shared.budget.has_waiters().then(|| now + self.tick);
        let others = [resume_at, self.busy.next_log(), stalled_at].into_iter().flatten();
        others.map(|moment| moment.saturating_duration_since(now)).chain(tick).min()
    }

    /// Queues the connections that are ready.
    fn dispatch(&mut self, now: Instant) {
        let (mut dispatched, mut disconnected, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = self.shared.lock();
        let free_workers = state.scheduler.free_workers();
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
            let failed = event.is_write_closed() || event.is_error();
            let ended = event.is_read_closed() || failed;
            let (readable, writable) = (event.is_readable() || ended, event.is_writable() || ended);
            let readiness = Readiness { readable, writable, ended, failed };
            dispatched.extend(state.table.ready(key, readiness, free_workers, now).map(|dispatch| (key, dispatch)));
            if ended {
                removed.extend(state.table.remove_failed(key));
                disconnected.extend(state.table.take_disconnected(key));
            }
        }
        drop(state);
        disconnected.into_iter().for_each(run_callback);
        removed.into_iter().for_each(|removed| self.shared.close_removed(removed));
        for (key, dispatch) in dispatched {
            match dispatch {
                Dispatch::Examine(stream) => {
                    let is_urgent = self.is_never_refused(&stream);
                    if !self.shared.lock().table.enqueue_new(key, is_urgent, now) {
                        self.refuse_busy(key, &stream, now);
                    }
                }
                Dispatch::Drain(stream) => self.drain(key, &stream),
            }
        }
    }

    /// Accepts up to `max` connections.
    fn accept(&mut self, max: usize, now: Instant) {
        let Some(acceptor) = self.acceptor.as_mut().filter(|acceptor| acceptor.is_ready(now)) else { return };
        for (stream, client) in acceptor.accept(max, now) {
            if stream.set_nonblocking(true).is_ok() {
                self.admit(stream, client, now);
            }
        }
    }

    /// Takes in a new connection. Another one gives way to it in a full table, and one of its peer if that has its share;
    /// without such a one it is refused.
    fn admit(&mut self, stream: TcpStream, client: SocketAddr, now: Instant) {
        let peer = self.application.peer(client.ip());
        let connection = Connection::new(stream, client, peer);
        let stream = connection.stream().clone();
        let mut state = self.shared.lock();
        let has_share = state.table.peers.may_connect(peer);
        let is_full = state.table.count() >= self.shared.limits.max_connections;
        let victim = match peer {
            Some(peer) if !has_share => state.table.choose_victim_of(peer),
            _ if is_full => state.table.choose_victim(now),
            _ => None,
        };
        let key = state.table.insert(stream.clone(), peer, Box::new(connection), now);
        drop(state);
        if self.shared.register(key, &stream).is_err() {
            return self.shared.close(key);
        }
        match victim {
            Some(Victim::Close(other)) => self.shared.close(other),
            Some(Victim::Refuse(other, stream)) if has_share => self.refuse_busy(other, &stream, now),
            Some(Victim::Refuse(other, stream)) => self.refuse_peer(other, &stream, now),
            None if !has_share => self.refuse_peer(key, &stream, now),
            None if is_full => self.refuse_busy(key, &stream, now),
            None => {}
        }
    }

    /// Closes connections whose clients do not read, where others need their memory.
    fn free_memory(&self, now: Instant) {
        if self.shared.budget.lacks_memory() {
            let stalled = self.shared.lock().table.stalled(now);
            self.close_all(stalled);
        }
    }

    /// Delivers memory to the responses that have waited for it.
    fn grant_memory(&self, now: Instant) {
        if !self.shared.budget.may_grant() {
            return;
        }
        for (token, memory) in self.shared.budget.grant() {
            discard(self.shared.lock().table.reply(token, Reply::Memory(memory), now));
        }
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
        self.shared.standby.wake();
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
