//! Every environment variable there is: its name, its default, what it means.
//!
//! The parser, `--help`, `.env.example` and the README's table all follow this list; tests compare them with it.

/// One environment variable.
pub struct Variable {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// What holds where it is not set; empty where nothing does.
    pub default: &'static str,
    /// A line for the operator, with the unit and the allowed values.
    pub meaning: &'static str,
    /// A secret is never printed, and can also be given as the path of a file in `NAME_FILE`.
    pub secret: bool,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: "", meaning, secret: true }
}

/// All of them, in the order of `.env.example`.
pub static VARIABLES: &[Variable] = &[
    secret(
        "DATABASE_URL",
        "PostgreSQL as one URL: postgres://user:password@host:port/name. Several hosts: @one:5432,two:5432/",
    ),
    variable("DB_HOST", "localhost", "PostgreSQL host, or the folder of its Unix socket"),
    variable("DB_PORT", "5432", "PostgreSQL port"),
    variable("DB_NAME", "safespace_dev", "Database name"),
    variable("DB_USER", "postgres", "Database user"),
    secret("DB_PASSWORD", "Database password; required as soon as one of the four above is set"),
    variable(
        "DB_SSLMODE",
        "prefer",
        "TLS to PostgreSQL as libpq has it: disable, prefer, require, verify-ca or verify-full",
    ),
    variable("DB_SSLROOTCERT", "", "PEM file of the authorities to trust, or 'system' (with verify-full only)"),
    variable("DB_POOL_MIN_SIZE", "10", "Idle connections the pool keeps ready (at most DB_POOL_MAX_SIZE)"),
    variable("DB_POOL_MAX_SIZE", "20", "Connections the pool opens at most, 1 to 1000"),
    variable("DB_QUERY_TIMEOUT", "30", "Seconds a statement may take before it is cancelled, 1 to 3600"),
    variable("DB_CONNECTION_TIMEOUT", "10", "Seconds to open one connection, TLS and login included, 1 to 300"),
    variable(
        "DB_ACQUIRE_TIMEOUT_MS",
        "1000",
        "Milliseconds a request waits for a pooled connection before its 503, 1 to 60000",
    ),
    variable(
        "SAFESPACE_DATA_DIR",
        "",
        "Folder of the private PostgreSQL; /var/lib/safespace for root, else the XDG data folder",
    ),
    variable(
        "PG_BIN",
        "",
        "Folder of initdb and postgres for the private PostgreSQL; searched for where it is not set",
    ),
    variable("APP_HOST", "0.0.0.0", "Address to listen on; 127.0.0.1 behind a proxy on the same machine"),
    variable("APP_PORT", "8000", "Port to listen on; 0 takes a free one"),
    variable("METRICS_PORT", "", "Port for Prometheus, at /metrics; off where it is not set, 0 takes a free one"),
    variable("METRICS_HOST", "127.0.0.1", "Address of that port"),
    variable("APP_WORKERS", "64", "Threads that answer requests, 1 to 1024"),
    variable("APP_REQUEST_TIMEOUT", "30", "Seconds an answer may take before its client gets 504, 1 to 3600"),
    variable(
        "APP_MAX_CONNECTIONS",
        "10000",
        "Open connections; past it the one that is idle for longest gives way, 1 to 1000000",
    ),
    variable("APP_MAX_QUEUED_REQUESTS", "1024", "Requests that wait for a worker; past it 503, 1 to 1000000"),
    variable("APP_MAX_REQUEST_LINE_BYTES", "8192", "Bytes a request line may have, 256 to 1048576"),
    variable("APP_MAX_HEAD_BYTES", "16384", "Bytes the head of a request may have, 1024 to 1048576"),
    variable("APP_MAX_HEAD_FIELDS", "100", "Header fields a request may have, 8 to 256"),
    variable("APP_MAX_BODY_BYTES", "65536", "Bytes a request body may have, 1024 to 16777216"),
    variable("APP_HEAD_TIMEOUT", "10", "Seconds from the first byte of a request's head to its last, 1 to 3600"),
    variable("APP_BODY_TIMEOUT", "30", "Seconds from the end of the head to the end of the body, 1 to 3600"),
    variable("APP_IDLE_TIMEOUT", "75", "Seconds a connection is kept open between requests, 1 to 3600"),
    variable("APP_WRITE_TIMEOUT", "30", "Seconds a client may take nothing of its answer, 1 to 3600"),
    variable(
        "APP_SHUTDOWN_GRACE",
        "10",
        "Seconds that requests in flight have to finish on SIGTERM or SIGINT, 1 to 300",
    ),
    variable("COMPANION_SCRIPT", "", "File of the script's replies, in place of the embedded ones"),
    variable(
        "OPENAI_BASE_URL",
        "",
        "Address of an OpenAI-compatible server, such as http://localhost:11434/v1; a model answers then",
    ),
    secret("OPENAI_API_KEY", "Key for that server, if it wants one"),
    secret("GOOGLE_API_KEY", "Key for Google's Gemini; selects it where OPENAI_BASE_URL is not set"),
    variable(
        "COMPANION_MODEL",
        "",
        "The model's name; required with OPENAI_BASE_URL, gemini-2.5-flash-lite with GOOGLE_API_KEY",
    ),
    variable("COMPANION_PROMPT", "", "Markdown file of the model's system prompt, in place of the embedded one"),
    variable("COMPANION_EGRESS", "any", "Where a model may be: any, or local, for loopback and private addresses only"),
    variable(
        "COMPANION_CONTEXT_CHARS",
        "24000",
        "Characters of a conversation that a model is sent at most, 1000 to 1000000",
    ),
    variable(
        "COMPANION_TIMEOUT",
        "12",
        "Seconds from a request to the companion's answer, 2 to 300 (less than APP_REQUEST_TIMEOUT)",
    ),
    variable(
        "COMPANION_CONCURRENCY",
        "",
        "Turns that are with the companion at once, 1 to 1024; half of APP_WORKERS where it is not set",
    ),
    variable("ENVIRONMENT", "development", "development, or production: reads no .env and wants a real PostgreSQL"),
    variable("LOG_LEVEL", "info", "off, error, warn, info, debug or trace"),
    variable("RUST_LOG", "", "Filter in env_logger's syntax; wins over LOG_LEVEL"),
    variable("LOG_FORMAT", "text", "text or json, one line each, on standard error"),
];

/// Looks a variable up by its name.
///
/// # Panics
/// If there is no such variable, which is a misspelling in this program.
pub(super) fn variable_named(name: &str) -> &'static Variable {
    VARIABLES.iter().find(|variable| variable.name == name).expect("every variable read is in VARIABLES")
}
