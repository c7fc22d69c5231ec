//! A bounded queue of lines between the threads that log and the one that writes.

use std::io::{ErrorKind, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Bytes of lines that wait for the writer. As many again may be with the writer, so a megabyte in all.
const MAX_QUEUED_BYTES: usize = 512 * 1024;

/// The unit of writing: whole lines up to Linux's `PIPE_BUF`. A pipe takes that much at once or not at all, so no line
/// is torn by another process that writes to the same pipe, or by the end of this one.
const MAX_WRITE_BYTES: usize = 4096;

/// The least time between two writes. Far fewer than [`MAX_QUEUED_BYTES`] are logged in it.
const PAUSE: Duration = Duration::from_millis(5);

/// Lines in the order in which they were pushed. Past [`MAX_QUEUED_BYTES`] lines are dropped and counted.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes threads that wait for the writer.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Lines were dropped since the writer last took `lines`. Until it does so again all are dropped, so that the gap is
    /// in one position, behind `lines`.
    has_gap: bool,
    /// Lines dropped since the start: no room, after the end, or an error of the sink.
    dropped: u64,
    /// Bytes pushed since the start.
    pushed: u64,
    /// How many of them the writer is done with; [`u64::MAX`] once it has ended.
    finished: u64,
    is_closed: bool,
}

impl Queue {
    /// Appends a line, which ends with a newline; never waits for the writer.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.state.lock();
        state.has_gap |= !state.is_closed && state.lines.len() + line.len() > MAX_QUEUED_BYTES;
        if state.has_gap || state.is_closed {
            state.dropped += 1;
        } else {
            state.lines.extend_from_slice(line.as_bytes());
            state.pushed += line.len() as u64;
        }
        self.work.notify_one();
    }

    pub(super) fn dropped_lines(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Waits until what was pushed before has been given to the sink, for at most `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let state = self.state.lock();
        let pushed = state.pushed;
        self.wait_for(state, pushed, timeout);
    }

    /// Lets the writer end once it has written everything; true if it has ended within `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        state.is_closed = true;
        self.work.notify_one();
        self.wait_for(state, u64::MAX, timeout)
    }

    fn wait_for(&self, mut state: MutexGuard<'_, State>, finished: u64, timeout: Duration) -> bool {
        self.progress.wait_while_for(&mut state, |state| state.finished < finished, timeout);
        state.finished >= finished
    }

    /// The writer: writes lines to `sink` until the queue is closed and empty. Where lines were dropped it writes
    /// `report` of their number.
    pub(super) fn write_to(&self, sink: &mut dyn Write, report: &dyn Fn(u64) -> String) {
        let (mut batch, mut reported) = (Vec::new(), 0);
        let is_empty = |state: &State| state.lines.is_empty() && !state.has_gap;
        let mut state = self.state.lock();
        loop {
            self.work.wait_while(&mut state, |state| is_empty(state) && !state.is_closed);
            if is_empty(&state) {
                break;
            }
            mem::swap(&mut batch, &mut state.lines);
            state.has_gap = false;
            let dropped = state.dropped;
            let lost = MutexGuard::unlocked(&mut state, || {
                let end_of_lines = batch.len();
                if dropped > reported {
                    batch.extend_from_slice(report(dropped - reported).as_bytes());
                }
                let written = catch_unwind(AssertUnwindSafe(|| write_lines(sink, &batch))).unwrap_or(0);
                if written == batch.len() {
                    reported = dropped;
                }
                // Lines that are queued in the meantime do not wake the writer and share the next write.
                thread::sleep(PAUSE);
                batch[written.min(end_of_lines)..end_of_lines].iter().filter(|byte| **byte == b'\n').count()
            });
            batch.clear();
            state.dropped += lost as u64;
            state.finished = state.pushed - state.lines.len() as u64;
            self.progress.notify_all();
        }
        state.finished = u64::MAX;
        self.progress.notify_all();
    }
}

/// Writes whole lines and returns how many bytes were written before the first error. Waits for a descriptor which
/// another process has made non-blocking.
fn write_lines(sink: &mut dyn Write, lines: &[u8]) -> usize {
    let mut written = 0;
    while written < lines.len() {
        let rest = &lines[written..];
        let is_end = |byte: &u8| *byte == b'\n';
        let fitting = rest.iter().take(MAX_WRITE_BYTES).rposition(is_end);
        let end = fitting.or_else(|| rest.iter().position(is_end)).map_or(rest.len(), |at| at + 1);
        match sink.write(&rest[..end]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(10)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests;
