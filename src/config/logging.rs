//! What is logged, and in which format.

use log::LevelFilter;

use super::reader::Reader;

/// What is logged, and in which format (`LOG_*`, `RUST_LOG`).
#[derive(Debug)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LevelFilter,
    /// A filter in `env_logger`'s syntax; takes precedence over `level`.
    pub filter: Option<String>,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time level message key=value …`, for people.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

pub(super) fn read(reader: &mut Reader<'_>) -> LogSettings {
    LogSettings {
        level: reader.choice("LOG_LEVEL", &LEVELS),
        filter: reader.set("RUST_LOG"),
        format: reader.choice("LOG_FORMAT", &FORMATS),
    }
}
