//! A small synchronous HTTP/1.1 server (RFC 9110, RFC 9112): bounded, strict, on a fixed pool of threads.
//!
//! It speaks rouille's [`Request`] and [`Response`], and knows nothing of the [`Application`] that answers.
//!
//! - `poller`: one thread at a time has the listener and every connection that waits, so that waiting costs no thread.
//! - `table`: what each connection is doing and until when; the queue of those that can be worked on.
//! - `workers`: threads that take a connection from the queue, go as far as they can, and give it back.
//! - `connection`: the life of a request, from its first byte to the last of its answer.
//! - [`head`], [`body`]: what a client sends, read strictly. `response`: what it gets.
//! - [`Refusal`]: what the server answers by itself.

pub mod body;
mod connection;
mod descriptors;
pub mod head;
mod later;
mod poller;
mod refusal;
mod response;
mod status;
mod table;
mod workers;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Waker};
use nix::sys::socket;
use rouille::{Request, Response};

pub use descriptors::raise_limit;
pub use head::{Head, Length};
pub use later::{Later, Reply};
pub use refusal::Refusal;
pub use status::reason;
pub use table::MOST_LINGERING;

use connection::Interruption;
use later::Answer;
use table::{Due, Forgotten, Table, Token, Work};

/// What the operating system keeps of a response for a client that does not take it, about.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// What the server serves. Its methods are called on many threads at once.
pub trait Application: Send + Sync + 'static {
    /// Answers a request whose body is there in full: at once, or, having taken a [`Reply`] from `later`, with `None` and
    /// through that. What the response says of its framing is ignored.
    fn answer(&self, request: &Request, later: Later<'_>) -> Option<Response>;

    /// Looks at a request whose client waits to be asked for the body, and refuses it if the head is enough for that.
    fn refuse_head(&self, request: &Request) -> Option<Response>;

    /// Words a refusal of the server's own. The response for [`Refusal::Busy`] is made once a second
    /// at most, and sent many times.
    fn refuse(&self, refusal: Refusal) -> Response;
}

/// The bounds of a server, on everything a client or the application can stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Threads that work on requests.
    pub workers: usize,
    /// Bytes that a request line may have: past it 414.
    pub max_request_line_bytes: usize,
    /// Bytes that the head of a request may have, request line and all: past it 431.
    pub max_head_bytes: usize,
    /// Fields that a head may have, [`head::MOST_FIELDS`] at most: past it 431.
    pub max_head_fields: usize,
    /// Bytes that a body may have: past it 413.
    pub max_body_bytes: usize,
    /// Open connections. Past it the one that has been idle for longest is closed; if none is idle, the new one gets 503.
    pub max_connections: usize,
    /// Connections with something to be read that no worker has taken yet: past it 503.
    pub max_queued: usize,
    /// From the first byte of a head to its last: past it 408.
    pub head_timeout: Duration,
    /// From the end of a head to the end of the body: past it 408.
    pub body_timeout: Duration,
    /// Between requests: past it the connection is closed.
    pub idle_timeout: Duration,
    /// Without the client taking anything of a response: past it the connection is closed.
    pub write_timeout: Duration,
    /// For the application to answer, and then for every further piece of an answer: past it 504, or the connection is cut.
    pub request_timeout: Duration,
}

/// What a server is doing at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How many connections are in each of their states, in the order of a request's life.
    pub connections: [(&'static str, usize); 6],
    /// Connections with something to be read that no worker has taken yet.
    pub queued: usize,
    /// Requests that were refused for want of room since the start.
    pub refused_busy: u64,
}

/// Looks at a running server, and does not keep it running.
#[derive(Clone)]
pub struct Observer(Arc<Shared>);

impl Observer {
    /// What the server is doing now.
    #[must_use]
    pub fn state(&self) -> State {
        let table = self.0.table();
        let [idle, head, body, answering, writing, lingering] = table.phases();
        let connections = [
            ("idle", idle),
            ("head", head),
            ("body", body),
            ("answering", answering),
            ("writing", writing),
            ("lingering", lingering),
        ];
        State { connections, queued: table.queued(), refused_busy: self.0.refused_busy.load(Ordering::Relaxed) }
    }
}

/// A running server. Dropped, it stops without waiting for answers.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Disconnected when the last request is answered and everything is closed.
    finished: mpsc::Receiver<()>,
}

impl Server {
    /// Serves on a listener.
    ///
    /// # Errors
    /// When the operating system gives no thread, or no poller.
    pub fn start(listener: TcpListener, limits: Limits, application: Arc<dyn Application>) -> io::Result<Server> {
        let address = listener.local_addr()?;
        // The standard library lets 128 clients wait to be accepted; a crowd that comes at once is larger.
        socket::listen(&listener, socket::Backlog::MAXCONN)?;
        // Accepted sockets inherit what follows. Without a bound the operating system holds megabytes for a client that
        // reads slowly, and cannot tell for as long whether it reads at all.
        socket::setsockopt(&listener, socket::sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
        // A small answer must not wait for the acknowledgement of the one before it.
        socket::setsockopt(&listener, socket::sockopt::TcpNoDelay, &true)?;
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(&limits)),
            stopping: AtomicBool::new(false),
            refused_busy: AtomicU64::new(0),
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), poller::WAKER)?,
            limits,
            application,
        });
        let (poller, finished) = poller::prepare(shared.clone(), poll, listener)?;
        let server = Server { address, shared, finished };
        workers::start(&server.shared, Some(poller))?;
        for _ in 0..server.shared.limits.workers {
            workers::start(&server.shared, None)?;
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to look at it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer(self.shared.clone())
    }

    /// Stops: closes the listener and what is idle, answers the requests that have begun, and says whether all of them
    /// were answered within `grace`. Whatever is left then is cut.
    #[must_use]
    pub fn stop(self, grace: Duration) -> bool {
        self.shared.begin_stopping();
        self.shared.wake_poller();
        self.finished.recv_timeout(grace) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.begin_stopping();
        self.shared.table().closed = true;
        self.shared.wake_poller();
        // The poller closes every connection and ends the workers; one that is stuck ends when it comes back.
        let _ = self.finished.recv_timeout(Duration::from_secs(1));
    }
}

/// Drops something with what the application gave to be sent: its code must not end the thread, and must not run under
/// the lock.
fn discard<T>(something: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(something)));
}

/// Wakes a worker that the table chose, without the lock, so that it does not run into it.
fn wake(worker: Option<Thread>) {
    if let Some(worker) = worker {
        worker.unpark();
    }
}

/// What the threads of a server share.
struct Shared {
    table: Mutex<Table>,
    /// As the table has it, for those who do not hold it.
    stopping: AtomicBool,
    /// Requests refused for want of room.
    refused_busy: AtomicU64,
    /// Where sockets are waited for.
    registry: Registry,
    /// Ends the wait.
    waker: Waker,
    limits: Limits,
    application: Arc<dyn Application>,
}

impl Shared {
    /// The table, which is never left half changed.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.table().stopping = true;
    }

    /// Lets the application do something, which may take long or panic: answers and their bodies are made here, and
    /// nowhere else. (Its words for a refusal are asked for without a deadline, by `connection::refuse`.) `None` is for
    /// what it will do later: its time goes on.
    ///
    /// # Errors
    /// When it took too long, so that there is nobody left to send the result to.
    fn ask<T>(
        &self,
        token: Token,
        work: Work,
        task: impl FnOnce(Due) -> Option<T>,
    ) -> Result<thread::Result<Option<T>>, Interruption> {
        let mut table = self.table();
        let due = table.begin_answer(token, work, Instant::now()).ok_or(Interruption::Gone)?;
        let successor = table.choose_successor();
        drop(table);
        wake(successor);
        let result = catch_unwind(AssertUnwindSafe(|| task(due)));
        let is_later = matches!(result, Ok(None));
        let mut table = self.table();
        let is_current = table.end_answer(token, is_later, Instant::now());
        let unwanted = if is_later { None } else { table.take_unwanted(token) };
        drop(table);
        discard(unwanted);
        if is_current { Ok(result) } else { Err(Interruption::Gone) }
    }

    /// Takes what the application has put off.
    fn answer(&self, due: Due, answer: Answer) {
        let mut table = self.table();
        let unwanted = table.answer(due, answer, Instant::now());
        let woken = table.choose_worker();
        drop(table);
        wake(woken);
        discard(unwanted);
    }

    /// Whether a worker that comes back late is one too many, since another has its place.
    fn retires(&self) -> bool {
        let mut table = self.table();
        let retires = table.surplus > 0;
        table.surplus -= usize::from(retires);
        let woken = if retires { table.choose_worker() } else { None };
        drop(table);
        wake(woken);
        retires
    }

    /// Ends the wait for sockets.
    fn wake_poller(&self) {
        let _ = self.waker.wake();
    }

    /// Has a socket told of whenever something new comes, or there is room again. Who has it open must end that by
    /// [`Shared::end`].
    fn register(&self, key: usize, stream: &TcpStream) -> io::Result<()> {
        let (fd, interest) = (stream.as_raw_fd(), Interest::READABLE | Interest::WRITABLE);
        self.registry.register(&mut SourceFd(&fd), mio::Token(key), interest)
    }

    /// Has a connection told of once more, although nothing new may come.
    fn tell_again(&self, key: usize, stream: &TcpStream) {
        let (fd, interest) = (stream.as_raw_fd(), Interest::READABLE | Interest::WRITABLE);
        // Should it have been closed since, it is not registered, which is said.
        let _ = self.registry.reregister(&mut SourceFd(&fd), mio::Token(key), interest);
    }

    /// Closes a connection that the poller has: a key says nothing of which connection is meant to anyone else.
    fn close(&self, key: usize) {
        let forgotten = self.table().remove(key);
        self.end(forgotten);
    }

    /// Ends what the table forgot. The one place where connections are closed.
    fn end(&self, forgotten: Option<Forgotten>) {
        let Some(Forgotten { stream, connection, answer }) = forgotten else { return };
        let _ = self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()));
        // A worker may hold the socket too.
        let _ = stream.shutdown(Shutdown::Both);
        discard(connection);
        discard(answer);
    }
}
