//! A small synchronous HTTP/1.1 server (RFC 9110, RFC 9112): bounded, strict, on a fixed pool of threads.
//!
//! It speaks rouille's [`Request`] and [`Response`], and knows nothing of the [`Application`] that answers.
//!
//! - `poller`: one thread has the listener and every connection that waits, so that waiting costs no thread.
//! - `table`: what each connection is doing and until when; the queue of those that can be worked on.
//! - `workers`: threads that take a connection from the queue, go as far as they can, and give it back.
//! - `connection`: the life of a request, from its first byte to the last of its answer.
//! - [`head`], [`body`]: what a client sends, read strictly. `response`: what it gets.
//! - [`Refusal`]: what the server answers by itself.

pub mod body;
mod connection;
mod descriptors;
pub mod head;
mod poller;
mod refusal;
mod response;
mod status;
mod table;
mod workers;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket;
use polling::{Event, PollMode, Poller};
use rouille::{Request, Response};

pub use descriptors::raise_limit;
pub use head::{Head, Length};
pub use refusal::Refusal;
pub use status::reason;
pub use table::MOST_LINGERING;

use connection::{Connection, Interruption};
use table::{Forgotten, Table, Token, Work};

/// What the operating system keeps of a response for a client that does not take it, about.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// What the server serves. Its methods are called on many threads at once.
pub trait Application: Send + Sync + 'static {
    /// Answers a request whose body is there in full. What the response says of its framing is ignored.
    fn answer(&self, request: &Request) -> Response;

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
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(&limits)),
            stopping: AtomicBool::new(false),
            work: Condvar::new(),
            poller: Poller::new()?,
            limits,
            application,
        });
        let finished = poller::start(shared.clone(), listener)?;
        let server = Server { address, shared, finished };
        for _ in 0..server.shared.limits.workers {
            workers::start(&server.shared)?;
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: closes the listener and what is idle, answers the requests that have begun, and says whether all of them
    /// were answered within `grace`. Whatever is left then is cut.
    #[must_use]
    pub fn stop(self, grace: Duration) -> bool {
        self.shared.begin_stopping();
        let _ = self.shared.poller.notify();
        self.finished.recv_timeout(grace) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.begin_stopping();
        self.shared.table().closed = true;
        let _ = self.shared.poller.notify();
        // The poller closes every connection and ends the workers; one that is stuck ends when it comes back.
        let _ = self.finished.recv_timeout(Duration::from_secs(1));
    }
}

/// Drops a connection, and with it what the application gave to be sent: its code must not end the thread, and must
/// not run under the lock.
fn discard(connection: Option<Box<Connection>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
}

/// What the threads of a server share.
struct Shared {
    table: Mutex<Table>,
    /// As the table has it, for those who do not hold it.
    stopping: AtomicBool,
    /// Told when there is something in the queue.
    work: Condvar,
    poller: Poller,
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
    /// nowhere else. (Its words for a refusal are asked for without a deadline, by `connection::refuse`.)
    ///
    /// # Errors
    /// When it took too long, so that there is nobody left to send the result to.
    fn ask<T>(&self, token: Token, work: Work, task: impl FnOnce() -> T) -> Result<thread::Result<T>, Interruption> {
        let mut table = self.table();
        if !table.begin_answer(token, work, Instant::now()) {
            return Err(Interruption::Gone);
        }
        let wants_successor = table.wants_successor();
        drop(table);
        if wants_successor {
            self.work.notify_one();
        }
        let result = catch_unwind(AssertUnwindSafe(task));
        if self.table().end_answer(token, Instant::now()) { Ok(result) } else { Err(Interruption::Gone) }
    }

    /// Whether a worker that comes back late is one too many, since another has its place.
    fn retires(&self) -> bool {
        let mut table = self.table();
        let retires = table.surplus > 0;
        table.surplus -= usize::from(retires);
        let wants_worker = retires && table.wants_worker();
        drop(table);
        if wants_worker {
            self.work.notify_one();
        }
        retires
    }

    /// Has the poller tell of a connection once more, although nothing new may come.
    fn tell_again(&self, key: usize, stream: &TcpStream) {
        // Should it have been closed since, it is not in the poller, which says so.
        let _ = self.poller.modify_with_mode(stream, Event::all(key), PollMode::Edge);
    }

    /// Closes a connection that the poll thread has: a key says nothing of which connection is meant to anyone else.
    fn close(&self, key: usize) {
        let forgotten = self.table().remove(key);
        self.end(forgotten);
    }

    /// Ends what the table forgot. The one place where connections are closed.
    fn end(&self, forgotten: Option<Forgotten>) {
        let Some(Forgotten { stream, connection }) = forgotten else { return };
        let _ = self.poller.delete(&*stream);
        // A worker may hold the socket too.
        let _ = stream.shutdown(Shutdown::Both);
        discard(connection);
    }
}
