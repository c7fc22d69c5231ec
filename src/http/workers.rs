//! The threads that work on requests: each takes a connection from the queue, goes as far as it can, gives it back.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Shared;
use super::connection::{Connection, Next, Tools};
use super::poller::Poller;
use super::table::Token;

/// Starts one worker, or a thread that begins by polling and is a worker afterwards.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn start(shared: &Arc<Shared>, poller: Option<Box<Poller>>) -> io::Result<thread::JoinHandle<()>> {
    let shared = shared.clone();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        if let Some(poller) = poller {
            poller.run();
        }
        work(&shared);
    })
}

fn work(shared: &Arc<Shared>) {
    let mut tools = Tools::new();
    let mut following = None;
    while let Some((token, mut connection)) = following.take().or_else(|| wait_for_work(shared)) {
        // The application's panics are caught where it is asked; whatever else panics costs its connection.
        let next = catch_unwind(AssertUnwindSafe(|| connection.proceed(shared, token, &mut tools)));
        match give_back(shared, token, connection, next.unwrap_or(Next::Close)) {
            Returned::InTime(work) => following = work,
            Returned::Late if shared.retires() => return,
            Returned::Late => {}
        }
    }
}

/// What a worker has to do next.
type Assignment = (Token, Box<Connection>);

/// How a connection was given back.
enum Returned {
    /// As it should be; there may be something to do next.
    InTime(Option<Assignment>),
    /// It is gone, because the worker was stuck on it.
    Late,
}

/// Waits for something to do, and polls when it is this worker's turn to; `None` at the end of the server.
fn wait_for_work(shared: &Shared) -> Option<Assignment> {
    let mut table = shared.table();
    loop {
        if let Some(poller) = table.poller.take() {
            drop(table);
            poller.run();
            table = shared.table();
        }
        if table.closed {
            return None;
        }
        if let Some(work) = table.take() {
            return Some(work);
        }
        let this = thread::current();
        table.sleep(this.clone());
        loop {
            drop(table);
            thread::park();
            table = shared.table();
            if table.note_awake(&this) {
                break;
            }
        }
    }
}

/// Gives a connection back, and takes another if one waits.
fn give_back(shared: &Shared, token: Token, connection: Box<Connection>, next: Next) -> Returned {
    let stream = connection.stream().clone();
    let now = Instant::now();
    let mut table = shared.table();
    table.end_work();
    if !table.is_current(token) {
        drop(table);
        super::discard(Some(connection));
        return Returned::Late;
    }
    let stopping = table.stopping;
    let (mut forgotten, mut rest, mut following) = (None, None, None);
    match next {
        Next::Later => following = table.wait_for_answer(token, connection, now).map(|connection| (token, connection)),
        Next::Again => table.requeue(token, connection, now),
        Next::Wait { phase, progress } => {
            rest = table.park(token, connection, phase, progress, now).err();
            if rest.is_some() {
                forgotten = table.remove(token.key);
            }
        }
        Next::Linger => {
            forgotten = table.linger(token.key, now);
            rest = Some(connection);
        }
        Next::Close => {
            forgotten = table.remove(token.key);
            rest = Some(connection);
        }
    }
    let following = following.or_else(|| table.take());
    drop(table);
    shared.end(forgotten);
    super::discard(rest);
    if matches!(next, Next::Linger) {
        shared.tell_again(token.key, &stream);
    }
    // Whoever stops waits for the last of them.
    if stopping {
        shared.wake_poller();
    }
    Returned::InTime(following)
}
