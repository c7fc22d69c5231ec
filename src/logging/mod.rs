//! The log: one line for each event on standard error, and never anything of a session.
//!
//! The calling thread formats its line and puts it into a bounded queue; one writer thread writes. A slow or blocked
//! standard error costs lines, which are counted, and never the time of a request.

mod format;
mod queue;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{Level, LevelFilter, Metadata, Record};

use crate::config::{LogFormat, LogSettings};
use format::{Format, LineBuffer};
use queue::Queue;

/// How long a thread that panics, or the second signal, waits for the lines before it to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the process waits at its end for the last lines to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of the process's logger, for [`dropped_lines`].
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

thread_local! {
    static BUFFER: Cell<LineBuffer> = Cell::default();
}

/// Starts logging for the whole process; later calls change nothing.
///
/// From here on a panic is logged by its location alone, since its message may quote what a client sent.
///
/// # Panics
/// If the operating system gives no thread for the writer.
#[must_use]
pub fn start(settings: &LogSettings) -> Guard {
    let mut filter = env_filter::Builder::new();
    match &settings.filter {
        Some(directives) => filter.parse(directives),
        None => filter.filter_level(settings.level),
    };
    let filter = filter.build();
    let format = match settings.format {
        LogFormat::Text => format::text,
        LogFormat::Json => format::json,
    };
    let queue = Arc::new(Queue::default());
    let level = filter.filter();
    if log::set_boxed_logger(Box::new(Logger { filter, format, queue: queue.clone() })).is_ok() {
        log::set_max_level(level);
        let _ = QUEUE.set(queue.clone());
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            log::error!(place = place.as_str(); "Panicked");
            log::logger().flush();
        }));
    }
    let lines = queue.clone();
    let report = move |dropped| report_dropped_lines(format, dropped);
    let write = move || lines.write_to(&mut io::stderr(), &report);
    let writer = thread::Builder::new().name("log".to_owned()).spawn(write);
    Guard { queue, writer: Some(writer.expect("a thread for the log")) }
}

/// Lines dropped since the start because standard error took them too slowly or not at all.
#[must_use]
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped_lines())
}

/// Owns the writer thread. Dropping it writes the lines that are queued, for at most a second, and ends the thread;
/// lines logged later are dropped.
pub struct Guard {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl Guard {
    /// Writes a line as it is, after the lines logged before it.
    pub fn write_line(&self, line: fmt::Arguments<'_>) {
        self.queue.push(&format!("{line}\n"));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A writer that standard error blocks cannot be joined; it ends with the process.
        if self.queue.close(CLOSE_TIMEOUT)
            && let Some(writer) = self.writer.take()
        {
            let _ = writer.join();
        }
    }
}

/// Keeps libraries to warnings whatever the filter says: at debug level the PostgreSQL driver logs the parameters of
/// every statement, and those are session ids.
struct Logger {
    filter: env_filter::Filter,
    format: Format,
    queue: Arc<Queue>,
}

/// Whether a record may be logged at all, whatever the filter says.
fn is_permitted(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.level() <= LevelFilter::Warn || target == "safespace" || target.starts_with("safespace::")
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_permitted(metadata) && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_permitted(record.metadata()) && self.filter.matches(record) {
            // Taken, not borrowed: a value that logs while it is formatted gets a buffer of its own.
            let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
            self.queue.push(buffer.format(self.format, record));
            let _ = BUFFER.try_with(|slot| slot.set(buffer));
        }
    }

    /// Waits 0.2 s at most.
    fn flush(&self) {
        self.queue.flush(FLUSH_TIMEOUT);
    }
}

/// The line that stands where `dropped` lines are missing.
fn report_dropped_lines(format: Format, dropped: u64) -> String {
    let mut buffer = LineBuffer::default();
    let fields = [("dropped", dropped)];
    let mut record = Record::builder();
    record.level(Level::Warn).target(module_path!()).key_values(&fields);
    buffer.format(format, &record.args(format_args!("Standard error is too slow, lines dropped")).build()).to_owned()
}
