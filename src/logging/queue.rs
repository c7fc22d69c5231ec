//! A bounded queue of lines between the threads that log and the one that writes.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes of lines that wait for the writer. As many again may be with the writer, so a megabyte in all.
const MAX_QUEUED_BYTES: usize = 512 * 1024;

/// The unit of writing: whole lines up to Linux's `PIPE_BUF`. A pipe takes that much at once or not at all, so no line
/// is torn by another process that writes to the same pipe, or by the end of this one.
const MAX_WRITE_BYTES: usize = 4096;

/// The shortest time from one write to the next. Lines queued meanwhile wake nobody and share the next write.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(1);

/// The pause before a write to a non-blocking descriptor is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Lines in the order in which they were pushed. Past [`MAX_QUEUED_BYTES`] lines are dropped and counted.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes threads that wait for the writer.
    progress: Condvar,
    dropped_lines: AtomicU64,
    writer: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Lines dropped since the writer last took `lines`. Until it does so again all are dropped, so that the gap is in
    /// one position, behind `lines`.
    dropped: u64,
    /// Bytes pushed, taken by the writer, and done with, since the start.
    pushed: u64,
    taken: u64,
    finished: u64,
    /// The writer makes no pause until this many bytes are finished.
    flush_to: u64,
    /// The writer sleeps until it is notified.
    is_parked: bool,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// Appends a line, which ends with a newline. Wakes the writer only if it is parked; never waits for it.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.state.lock();
        if state.is_closed {
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if state.dropped > 0 || state.lines.len() + line.len() > MAX_QUEUED_BYTES {
            state.dropped += 1;
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
        } else {
            state.lines.extend_from_slice(line.as_bytes());
            state.pushed += line.len() as u64;
        }
        let wake = mem::take(&mut state.is_parked);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Lines dropped since the start: no room, after the end, or an error of the sink.
    pub(super) fn dropped_lines(&self) -> u64 {
        self.dropped_lines.load(Ordering::Relaxed)
    }

    /// Waits until what was pushed before has been given to the sink, for at most `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        // The writer cannot wait for itself: a panic in the sink runs the panic hook on the writer's thread.
        if self.writer.get() == Some(&thread::current().id()) {
            return;
        }
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        let target = state.pushed;
        state.flush_to = target;
        state.is_parked = false;
        self.work.notify_one();
        self.progress.wait_while_until(&mut state, |state| state.finished < target && !state.has_ended, deadline);
    }

    /// Lets the writer end once it has written everything; true if it has ended within `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        state.is_closed = true;
        state.is_parked = false;
        self.work.notify_one();
        self.progress.wait_while_until(&mut state, |state| !state.has_ended, deadline);
        state.has_ended
    }

    /// The writer: writes lines to `sink` until the queue is closed and empty. Where lines were dropped it writes
    /// `report` of their number.
    pub(super) fn write_to(&self, sink: &mut dyn Write, report: &dyn Fn(u64) -> String) {
        let _ = self.writer.set(thread::current().id());
        let mut batch = Vec::new();
        let mut unreported = 0;
        while let Some(dropped) = self.take(&mut batch) {
            unreported += dropped;
            let end_of_lines = batch.len();
            if unreported > 0 {
                batch.extend_from_slice(report(unreported).as_bytes());
            }
            let written = catch_unwind(AssertUnwindSafe(|| write_lines(sink, &batch))).unwrap_or(0);
            if written == batch.len() {
                unreported = 0;
            }
            let lost = &batch[written.min(end_of_lines)..end_of_lines];
            let lost = lost.iter().filter(|byte| **byte == b'\n').count() as u64;
            unreported += lost;
            self.dropped_lines.fetch_add(lost, Ordering::Relaxed);
        }
        self.state.lock().has_ended = true;
        self.progress.notify_all();
    }

    /// Replaces the batch, which has been written, by the lines that are queued, and waits for some if there are none.
    /// Returns how many were dropped behind them; `None` after the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.state.lock();
        state.finished = state.taken;
        self.progress.notify_all();
        if !batch.is_empty() && !state.is_closed && state.flush_to <= state.finished {
            self.work.wait_for(&mut state, MIN_WRITE_INTERVAL);
        }
        while state.lines.is_empty() && state.dropped == 0 {
            if state.is_closed {
                return None;
            }
            state.is_parked = true;
            self.work.wait(&mut state);
        }
        state.is_parked = false;
        batch.clear();
        mem::swap(batch, &mut state.lines);
        state.taken = state.pushed;
        Some(mem::take(&mut state.dropped))
    }
}

/// Writes whole lines and returns how many bytes were written before the first error, counted in whole writes.
fn write_lines(sink: &mut dyn Write, lines: &[u8]) -> usize {
    let mut start = 0;
    while start < lines.len() {
        let rest = &lines[start..];
        let fitting = rest.iter().take(MAX_WRITE_BYTES).rposition(|byte| *byte == b'\n');
        let end = fitting.or_else(|| rest.iter().position(|byte| *byte == b'\n')).map_or(rest.len(), |at| at + 1);
        if write_fully(sink, &rest[..end]).is_err() {
            break;
        }
        start += end;
    }
    start
}

/// [`Write::write_all`] that also waits for a descriptor which another process has made non-blocking.
fn write_fully(sink: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
