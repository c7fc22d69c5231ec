//! The two forms of a log line: text for people, JSON for collectors.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};

/// Appends a record, with its newline, to a line that is empty; the timestamp is given.
pub(super) type Format = fn(&mut String, &str, &Record<'_>);

/// What a thread keeps from one line to the next: the allocation, and the second it formatted last.
#[derive(Default)]
pub(super) struct LineBuffer {
    line: String,
    timestamp: Timestamp,
}

impl LineBuffer {
    /// Formats a record at the present time.
    pub(super) fn format(&mut self, format: Format, record: &Record<'_>) -> &str {
        self.line.clear();
        format(&mut self.line, self.timestamp.at(SystemTime::now()), record);
        &self.line
    }
}

/// `2026-11-25T17:15:15.123456Z`. Formatting the date costs more than the rest of a line, so it is done once a second.
#[derive(Default)]
struct Timestamp {
    text: String,
    second: u64,
}

impl Timestamp {
    const DATE_TIME_BYTES: usize = "2026-11-25T17:15:15".len();

    fn at(&mut self, time: SystemTime) -> &str {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs();
        if self.text.is_empty() || second != self.second {
            self.text.clear();
            let date_time = DateTime::from_timestamp(second.cast_signed(), 0).unwrap_or_default();
            let _ = write!(self.text, "{}", date_time.format("%Y-%m-%dT%H:%M:%S"));
            self.second = second;
        }
        self.text.truncate(Timestamp::DATE_TIME_BYTES);
        let _ = write!(self.text, ".{:06}Z", since_epoch.subsec_micros());
        &self.text
    }
}

/// `time level message key=value …`
pub(super) fn text(line: &mut String, timestamp: &str, record: &Record<'_>) {
    let _ = write!(line, "{timestamp} {:5} ", record.level());
    match record.args().as_str() {
        Some(message) => push_one_line(line, message),
        None => push_one_line(line, &record.args().to_string()),
    }
    let _ = record.key_values().visit(&mut TextFields(line));
    line.push('\n');
}

struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let line = &mut *self.0;
        line.extend([" ", key.as_str(), "="]);
        let start = line.len();
        match value.to_borrowed_str() {
            Some(text) => line.push_str(text),
            None => write!(line, "{value}")?,
        }
        let is_plain = |byte: u8| byte > b' ' && byte != b'"';
        if line.len() == start || !line.bytes().skip(start).all(is_plain) {
            let mut text = String::new();
            push_one_line(&mut text, &line[start..]);
            line.truncate(start);
            write!(line, "{text:?}")?;
        }
        Ok(())
    }
}

/// An object with the fields `timestamp`, `level`, `message` and the record's own.
pub(super) fn json(line: &mut String, timestamp: &str, record: &Record<'_>) {
    let mut fields = serde_json::Map::new();
    fields.insert("timestamp".to_owned(), timestamp.into());
    fields.insert("level".to_owned(), level_name(record.level()).into());
    fields.insert("message".to_owned(), record.args().to_string().into());
    let _ = record.key_values().visit(&mut JsonFields(&mut fields));
    let _ = writeln!(line, "{}", serde_json::Value::Object(fields));
}

struct JsonFields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for JsonFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let json = if let Some(number) = value.to_u64() {
            number.into()
        } else if let Some(number) = value.to_f64() {
            number.into()
        } else {
            value.to_string().into()
        };
        self.0.insert(key.as_str().to_owned(), json);
        Ok(())
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// A message of several lines, as PostgreSQL's can be, must not look like several events.
fn push_one_line(line: &mut String, text: &str) {
    line.extend(text.split(['\n', '\r']).flat_map(|part| [" ", part]).skip(1));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{SecondsFormat, Utc};

    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_microseconds() {
        let mut timestamp = Timestamp::default();
        // Within a second, over its end, back again, the epoch, a leap day.
        for micros in [
            1_795_626_915_000_000,
            1_795_626_915_999_999,
            1_795_626_916_000_007,
            1_795_626_915_000_001,
            0,
            1_709_164_800_123_456,
        ] {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            let expected = DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true);
            assert_eq!(timestamp.at(time), expected, "{micros}");
        }
    }
}
