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
#[rustfmt::skip]
pub static VARIABLES: &[Variable] = &[
    secret("DATABASE_URL",
        "PostgreSQL connection URL: postgres://user:password@host:port/name; several hosts: @one:5432,two:5432/"),
    variable("DB_HOST", "localhost", "PostgreSQL host, or the folder of its Unix socket"),
    variable("DB_PORT", "5432", "PostgreSQL port"),
    variable("DB_NAME", "safespace_dev", "Database name"),
    variable("DB_USER", "postgres", "Database user"),
    secret("DB_PASSWORD", "Database password; required if one of the four variables above is set"),
    variable("DB_SSLMODE", "prefer",
        "TLS to PostgreSQL, as in libpq: disable, prefer, require, verify-ca or verify-full"),
    variable("DB_SSLROOTCERT", "", "PEM file of trusted certificate authorities, or 'system' (only with verify-full)"),
    variable("DB_POOL_MIN_SIZE", "10", "Idle connections that the pool keeps open, 0 to DB_POOL_MAX_SIZE"),
    variable("DB_POOL_MAX_SIZE", "20", "Maximum number of connections in the pool, 1 to 1000"),
    variable("DB_QUERY_TIMEOUT", "30", "Seconds until PostgreSQL cancels a statement, 1 to 3600"),
    variable("DB_CONNECTION_TIMEOUT", "10", "Seconds to open one connection, including TLS and login, 1 to 300"),
    variable("DB_ACQUIRE_TIMEOUT_MS", "1000",
        "Milliseconds that a request waits for a pooled connection before it gets 503, 1 to 60000"),
    variable("DB_LOSS_ACCEPTED", "false",
        "true: start in production also where PostgreSQL can lose what it has acknowledged (docs/failover.md)"),
    variable("DB_DISTRIBUTE", "off",
        "citus: the tables of sessions are distributed over the workers of a Citus cluster; off: one server has all rows"),
    variable("SAFESPACE_DATA_DIR", "",
        "Folder of the private PostgreSQL; if not set: /var/lib/safespace for root, else in the XDG data folder"),
    variable("PG_BIN", "",
        "Folder with initdb and postgres for the private PostgreSQL; if not set, SafeSpace searches for them"),
    variable("APP_HOST", "0.0.0.0", "Address to listen on; 127.0.0.1 behind a proxy on the same machine"),
    variable("APP_PORT", "8000", "Port to listen on; 0 selects a free port"),
    variable("CORS_ALLOWED_ORIGINS", "",
        "Other origins whose pages may use the API, separated by commas, such as https://chat.example; if not set: none, in development any port of localhost, 127.0.0.1 and [::1]"),
    variable("METRICS_PORT", "",
        "Port of the Prometheus endpoint /metrics; if not set, there is none; 0 selects a free port"),
    variable("METRICS_HOST", "127.0.0.1", "Address of the Prometheus endpoint"),
    variable("APP_WORKERS", "32", "Worker threads that answer requests, 1 to 1024"),
    variable("APP_REQUEST_TIMEOUT", "30", "Seconds to answer a request before the client gets 504, 1 to 3600"),
    variable("APP_MAX_CONNECTIONS", "10000",
        "Open connections, 1 to 1000000; above this limit one that waits for its client is closed"),
    variable("APP_MAX_QUEUED_REQUESTS", "10000",
        "New requests that may wait for a worker, 1 to 1000000; above this limit they get 503"),
    variable("APP_MAX_REQUEST_LINE_BYTES", "8192", "Maximum size of a request line in bytes, 256 to 1048576"),
    variable("APP_MAX_HEAD_BYTES", "16384", "Maximum size of a request head in bytes, 1024 to 1048576"),
    variable("APP_MAX_HEAD_FIELDS", "100", "Maximum number of header fields in a request, 8 to 256"),
    variable("APP_MAX_BODY_BYTES", "65536", "Maximum size of a request body in bytes, 1024 to 16777216"),
    variable("APP_HEAD_TIMEOUT", "10", "Seconds from the first byte of a request head to its last byte, 1 to 3600"),
    variable("APP_BODY_TIMEOUT", "30", "Seconds from the end of a request head to the end of the body, 1 to 3600"),
    variable("APP_IDLE_TIMEOUT", "75", "Seconds that a connection stays open between two requests, 1 to 3600"),
    variable("APP_WRITE_TIMEOUT", "30",
        "Seconds that a client may accept no byte of its response before the connection is closed, 1 to 3600"),
    variable("APP_MIN_RESPONSE_RATE", "4096",
        "Bytes per second at which a client must read its response, after APP_WRITE_TIMEOUT, 1 to 1048576"),
    variable("APP_ANSWER_MEMORY", "67108864",
        "Bytes of all responses in memory, 4194304 to 68719476736; above this limit they wait, or get 503"),
    variable("APP_SHUTDOWN_DELAY", "0",
        "Seconds after SIGTERM or SIGINT in which requests are still accepted, so that a load balancer sees that the service is not ready, 0 to 300"),
    variable("APP_SHUTDOWN_GRACE", "10", "Seconds that running requests have to finish after that, 1 to 300"),
    variable("COMPANION_SCRIPT", "", "File with the replies of the script; if not set, the embedded script answers"),
    variable("OPENAI_BASE_URL", "",
        "Base URL of an OpenAI-compatible server, such as http://localhost:11434/v1; if set, a model answers"),
    secret("OPENAI_API_KEY", "API key for that server, if it needs one"),
    secret("GOOGLE_API_KEY", "API key for Google's Gemini, which answers if this is set and OPENAI_BASE_URL is not"),
    variable("COMPANION_MODEL", "",
        "Name of the model; required with OPENAI_BASE_URL; gemini-2.5-flash-lite with GOOGLE_API_KEY"),
    variable("COMPANION_PROMPT", "",
        "Markdown file with the model's system prompt; if not set, the embedded prompt is used"),
    variable("COMPANION_EGRESS", "any",
        "Addresses where a model may be: any, or local (only loopback and private addresses)"),
    variable("COMPANION_CONTEXT_CHARS", "24000",
        "Maximum number of conversation characters sent to a model, 1000 to 1000000"),
    variable("COMPANION_TIMEOUT", "12",
        "Seconds from a request to the companion's answer, 2 to 300 (less than APP_REQUEST_TIMEOUT)"),
    variable("COMPANION_CONCURRENCY", "128", "Turns that a model answers at the same time, 1 to 4096"),
    variable("RESOURCES", "", "File with the help lines that texts and answers may name; if not set, the embedded ones"),
    variable("RESOURCES_MAX_AGE", "180", "Days after which the verification of a help line is old, 1 to 3650"),
    variable("REPORT_TEMPLATES", "", "File with the texts of reports; if not set, the embedded texts"),
    variable("WEB_PAGE", "on", "The page that a browser gets at /: on, or off (then / answers with JSON to everybody)"),
    variable("WEB_NAME", "Chat", "Name of the page, also the title of its tab, at most 60 characters; keep it neutral"),
    variable("WEB_LANGUAGES", "id,en", "Languages of the page, separated by commas: id, en; the first is the default"),
    variable("WEB_EXIT_URL", "https://www.wikipedia.org/", "Page that a person leaves to, of at most 200 bytes"),
    variable("WEB_FOLDER", "", "Folder with files that take the place of the page's own texts, colours, style and logo"),
    variable("WEB_EMBED_ORIGINS", "",
        "Origins of the sites that may show the page in a frame, separated by commas, such as https://www.example.org; if not set, none"),
    variable("SESSION_MAX_MESSAGES", "5000",
        "Messages of a session, 2 to 1000000; above this limit a message gets 409"),
    variable("SESSION_MAX_BYTES", "4194304",
        "Bytes of a session's messages as they are stored, 524288 to 1073741824; above this limit a message gets 409"),
    variable("SESSION_IDLE_TIMEOUT", "604800",
        "Seconds from a session's last use to its end, 60 to 31622400, at most SESSION_MAX_AGE; a session may choose fewer"),
    variable("SESSION_MAX_AGE", "2592000",
        "Seconds from a session's creation to its end at the latest, 60 to 31622400"),
    variable("RATE_LIMIT", "on", "Protection from abuse (rate of messages, share of one network, proof of work): on, or off (for benchmarks)"),
    variable("RATE_LIMIT_BY_ADDRESS", "auto",
        "Limits for each address (/24 or /56): auto (public addresses only), on (every address) or off"),
    variable("TRUSTED_PROXIES", "",
        "Proxies whose X-Forwarded-For is used: addresses and networks, separated by commas, such as 127.0.0.1,10.0.0.0/8"),
    variable("PROOF_OF_WORK", "auto",
        "Proof of work for new sessions: auto (while many are created), off or always"),
    variable("EXIT_URLS", "https://www.google.com/",
        "Pages that a person can leave to, each of at most 200 bytes, separated by commas; the first is the default"),
    variable("STORAGE_RESERVE", "",
        "Free space that the database's disk keeps, in bytes or percent (5%); if not set: 5 % or 1 GiB, the smaller one; 0 turns it off"),
    variable("DB_MAX_BYTES", "",
        "Maximum size of the database in bytes, at least 1048576 (an empty one has 8 million); if not set, there is none"),
    variable("ENVIRONMENT", "development",
        "development, or production: reads no .env and requires a PostgreSQL server"),
    variable("LOG_LEVEL", "info", "Least severe level to log: off, error, warn, info, debug or trace"),
    variable("RUST_LOG", "", "Log filter in env_logger's syntax; overrides LOG_LEVEL"),
    variable("LOG_FORMAT", "text", "Format of the log on standard error, one line for each event: text or json"),
];

/// The variable of that name, which must exist.
pub(super) fn variable_named(name: &str) -> &'static Variable {
    VARIABLES.iter().find(|variable| variable.name == name).expect("every variable read is in VARIABLES")
}

/// Variables of the system that the configuration reads too.
const OF_THE_SYSTEM: [&str; 2] = ["HOME", "XDG_DATA_HOME"];

/// A variable with one of these in front that does not exist is most likely misspelled.
const PREFIXES: [&str; 16] = [
    "APP_",
    "COMPANION_",
    "CORS_",
    "DB_",
    "EXIT_",
    "METRICS_",
    "PROOF_",
    "RATE_LIMIT",
    "REPORT_",
    "RESOURCES",
    "SAFESPACE_",
    "SESSION_IDLE_",
    "SESSION_MAX_",
    "STORAGE_",
    "TRUSTED_",
    "WEB_EMBED_",
];

/// Whether this is the name of a variable, or of the file of a secret.
pub(super) fn is_known(name: &str) -> bool {
    let is_file = |variable: &Variable| variable.secret && name.strip_suffix("_FILE") == Some(variable.name);
    VARIABLES.iter().any(|variable| variable.name == name || is_file(variable))
}

/// Whether the configuration reads a variable of this name.
pub(super) fn is_read(name: &str) -> bool {
    is_known(name) || OF_THE_SYSTEM.contains(&name)
}

/// The variable whose name differs from this one in few letters, or in their case.
pub(super) fn similar(name: &str) -> Option<&'static Variable> {
    let name = name.to_ascii_uppercase();
    let distance = |variable: &Variable| strsim::osa_distance(&name, variable.name);
    let nearest = VARIABLES.iter().min_by_key(|variable| distance(variable))?;
    (distance(nearest) <= nearest.name.len() / 5).then_some(nearest)
}

/// Whether a variable that does not exist was most likely meant for this program.
pub(super) fn resembles_known(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // Only secrets can come from a file.
    let is_file = upper.strip_suffix("_FILE").is_some_and(is_known);
    is_file || PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) || similar(name).is_some()
}
