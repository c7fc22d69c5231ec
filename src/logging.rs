//! What is logged and how: one line an event on standard error, and never anything of a session.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic;

use chrono::{SecondsFormat, Utc};
use env_logger::fmt::Formatter;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Metadata, Record};

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process; later calls change nothing.
///
/// From here on a panic is logged by its place alone, since its message may quote what a client sent.
pub fn start(config: &Log) {
    let mut builder = env_logger::Builder::new();
    match &config.filter {
        Some(filter) => builder.parse_filters(filter),
        None => builder.filter_level(config.level),
    };
    match config.format {
        LogFormat::Text => builder.format(write_text),
        LogFormat::Json => builder.format(write_json),
    };
    let logger = builder.build();
    let level = logger.filter();
    if log::set_boxed_logger(Box::new(Discreet(logger))).is_ok() {
        log::set_max_level(level);
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            log::error!(place = place.as_str(); "Panicked");
        }));
    }
}

/// Keeps libraries to warnings whatever the filter says: at debug level the PostgreSQL driver logs the parameters of
/// every statement, and those are session ids.
struct Discreet(env_logger::Logger);

impl log::Log for Discreet {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target() == "safespace" || metadata.target().starts_with("safespace::");
        (ours || metadata.level() <= LevelFilter::Warn) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// The line is put together first: it is written for every request, and formatting into the writer costs twice as much.
fn write_text(writer: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = String::with_capacity(256);
    let _ = write!(line, "{} {:5} ", now(), record.level());
    match record.args().as_str() {
        Some(message) => push_one_line(&mut line, message),
        None => push_one_line(&mut line, &record.args().to_string()),
    }
    let _ = record.key_values().visit(&mut TextFields(&mut line));
    line.push('\n');
    writer.write_all(line.as_bytes())
}

struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let line = &mut *self.0;
        line.extend([" ", key.as_str(), "="]);
        let value: Cow<'_, str> = match value.to_borrowed_str() {
            Some(text) => text.into(),
            None => value.to_string().into(),
        };
        let is_plain = |byte: u8| byte > b' ' && byte != b'"';
        if !value.is_empty() && value.bytes().all(is_plain) {
            line.push_str(&value);
        } else {
            let mut text = String::new();
            push_one_line(&mut text, &value);
            write!(line, "{text:?}")?;
        }
        Ok(())
    }
}

fn write_json(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = serde_json::Map::new();
    fields.insert("timestamp".to_owned(), now().into());
    fields.insert("level".to_owned(), level_name(record.level()).into());
    fields.insert("message".to_owned(), record.args().to_string().into());
    let _ = record.key_values().visit(&mut JsonFields(&mut fields));
    serde_json::to_writer(&mut *line, &fields)?;
    writeln!(line)
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

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
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
