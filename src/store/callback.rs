//! How a statement delivers its result: to a callback, or to a thread that waits for it.

use std::sync::mpsc;
use std::time::Instant;

use super::error::Error;

/// Receives the result of a statement, once, on the thread of the batch leader; must not block.
pub type Callback<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// Blocks the calling thread until `start` has passed a result to its callback.
///
/// # Errors
/// Those of the statement, and [`Error::Timeout`] at the deadline: the statement may still be executed then.
pub fn wait<T: Send + 'static>(deadline: Instant, start: impl FnOnce(Callback<T>)) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    start(Box::new(move |result| _ = sender.send(result)));
    let remaining = deadline.saturating_duration_since(Instant::now());
    receiver.recv_timeout(remaining).unwrap_or(Err(Error::Timeout))
}
