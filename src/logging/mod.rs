//! The log: one line for each event on standard error, as text or as JSON, and never anything of a session.
//!
//! The calling thread formats its line and puts it into a bounded queue; one writer thread writes. A slow or blocked
//! standard error costs lines, which are counted, and never the time of a request.

mod queue;

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::io;
use std::panic;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Metadata, Record};
use serde_json::json;

use crate::config::{LogFormat, LogSettings};
use queue::Queue;

/// The lines of the process's logger.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// A message of several lines, as PostgreSQL's can be, must not look like several events.
const LINE_BREAKS: [char; 2] = ['\n', '\r'];

/// Starts logging for the whole process.
///
/// From here on a panic is logged by its location alone, since its message may quote what a client sent.
///
/// # Panics
/// If the process has a logger, or the operating system gives no thread for the writer.
#[must_use]
pub fn start(settings: &LogSettings) -> Guard {
    let mut filter = env_filter::Builder::new();
    match &settings.filter {
        Some(directives) => filter.parse(directives),
        None => filter.filter_level(settings.level),
    };
    let format = match settings.format {
        LogFormat::Text => text,
        LogFormat::Json => json,
    };
    let filter = filter.build();
    log::set_max_level(filter.filter());
    log::set_boxed_logger(Box::new(Logger { filter, format })).expect("the only logger");
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        log::error!(place = place.as_str(); "Panicked");
        log::logger().flush();
    }));
    let report = move |dropped: u64| {
        let message = format_args!("Standard error is too slow, lines dropped");
        format(&Record::builder().level(Level::Warn).args(message).key_values(&[("dropped", dropped)]).build())
    };
    let write = move || QUEUE.write_to(&mut io::stderr(), &report);
    thread::Builder::new().name("log".to_owned()).spawn(write).expect("a thread for the log");
    Guard(())
}

/// Lines dropped since the start because standard error took them too slowly or not at all.
#[must_use]
pub fn dropped_lines() -> u64 {
    QUEUE.dropped_lines()
}

/// Dropping it writes the lines that are queued, for at most a second, and ends the writer thread; a thread that standard
/// error blocks ends with the process. Lines logged later are dropped.
pub struct Guard(());

impl Guard {
    /// Writes a line as it is, after the lines logged before it.
    pub fn write_line(&self, line: fmt::Arguments<'_>) {
        QUEUE.push(&format!("{line}\n"));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        QUEUE.close(Duration::from_secs(1));
    }
}

struct Logger {
    filter: env_filter::Filter,
    /// Makes the line of a record, with its newline, at the present time.
    format: fn(&Record<'_>) -> String,
}

impl log::Log for Logger {
    /// Keeps libraries to warnings whatever the filter says: at debug level the PostgreSQL driver logs the parameters of
    /// every statement, and those are session ids.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let is_permitted =
            metadata.level() <= Level::Warn || target == "safespace" || target.starts_with("safespace::");
        is_permitted && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) && self.filter.matches(record) {
            QUEUE.push(&(self.format)(record));
        }
    }

    /// Waits 0.2 s at most: a thread that panics, and the second signal, wait for the lines before them.
    fn flush(&self) {
        QUEUE.flush(Duration::from_millis(200));
    }
}

/// `time level message key=value …`
fn text(record: &Record<'_>) -> String {
    let mut line = String::with_capacity(256);
    line.push_str(&timestamp());
    let _ = write!(line, " {:5} ", record.level().as_str());
    // Texts are appended as they are: the formatting macros would cost more than all the rest.
    match record.args().as_str() {
        Some(message) => line.push_str(message),
        None => drop(write!(line, "{}", record.args())),
    }
    if line.contains(LINE_BREAKS) {
        line = line.replace(LINE_BREAKS, " ");
    }
    let _ = record.key_values().visit(&mut Fields(|key: &str, value: &Value<'_>| {
        line.push(' ');
        line.push_str(key);
        line.push('=');
        let start = line.len();
        match value.to_borrowed_str() {
            Some(text) => line.push_str(text),
            None => drop(write!(line, "{value}")),
        }
        let is_plain = |byte: u8| byte > b' ' && byte != b'"';
        if line.len() == start || !line.bytes().skip(start).all(is_plain) {
            let text = line.split_off(start).replace(LINE_BREAKS, " ");
            let _ = write!(line, "{text:?}");
        }
    }));
    line.push('\n');
    line
}

/// An object with the fields `timestamp`, `level`, `message` and the record's own.
fn json(record: &Record<'_>) -> String {
    let level = record.level().as_str().to_lowercase();
    let mut line = json!({ "timestamp": timestamp(), "level": level, "message": record.args().to_string() });
    let _ = record.key_values().visit(&mut Fields(|key: &str, value: &Value<'_>| {
        let number = value.to_u64().map(Into::into).or_else(|| value.to_f64().map(Into::into));
        line[key] = number.unwrap_or_else(|| value.to_string().into());
    }));
    format!("{line}\n")
}

thread_local! {
    /// The second of the thread's last line, and that second as text.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}

/// `2026-11-25T17:15:15.123456Z`
fn timestamp() -> String {
    let now = Utc::now();
    let from_memory = SECOND.try_with(|memory| {
        let (second, text) = &mut *memory.borrow_mut();
        if *second != now.timestamp() || text.is_empty() {
            (*second, *text) = (now.timestamp(), now.format("%Y-%m-%dT%H:%M:%S.").to_string());
        }
        // A leap second is the second before it with more than a million, and here the end of that second.
        let micros = now.timestamp_subsec_micros().min(999_999);
        let mut digits = *b"000000";
        digits.iter_mut().rev().fold(micros, |rest, digit| {
            *digit += (rest % 10) as u8;
            rest / 10
        });
        [text.as_str(), str::from_utf8(&digits).unwrap_or_default(), "Z"].concat()
    });
    // A thread that ends may log after it has lost the text, and a panic there would abort the process.
    from_memory.unwrap_or_else(|_| now.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Calls a function with each field of a record.
struct Fields<F>(F);

impl<'kvs, F: FnMut(&str, &Value<'_>)> VisitSource<'kvs> for Fields<F> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        (self.0)(key.as_str(), &value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use chrono::DateTime;

    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_microseconds() {
        let before = Utc::now().timestamp_micros();
        let text = timestamp();
        let parsed = DateTime::parse_from_rfc3339(&text).expect("RFC 3339").timestamp_micros();
        assert!((before..=Utc::now().timestamp_micros()).contains(&parsed), "{text}");
        assert!(text.len() == "2026-11-25T17:15:15.123456Z".len() && text.ends_with('Z'), "{text}");
    }

    #[test]
    fn a_thread_that_ends_has_timestamps_too() {
        struct AtEnd(mpsc::Sender<String>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                self.0.send(timestamp()).expect("the test waits");
            }
        }
        thread_local! {
            static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
        }
        let (sender, last) = mpsc::channel();
        // What a thread used first is dropped last.
        let thread = thread::spawn(|| {
            AT_END.set(Some(AtEnd(sender)));
            timestamp();
        });
        thread.join().expect("it does not panic");
        DateTime::parse_from_rfc3339(&last.recv().expect("the last one")).expect("RFC 3339");
    }
}
