//! Opens connections to PostgreSQL, each within a deadline that covers TCP, TLS and login.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;
use postgres::config::{Host, SslMode as DriverSslMode};
use postgres::error::SqlState;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::root_cause;
use super::fault::Fault;
use super::tls;
use crate::config::{PoolSettings, Server, SslMode};

/// With this many attempts pending, another is made only after [`INTERVAL_WHEN_MANY_PENDING`]; see [`Connector::connect`].
const MANY_PENDING: usize = 64;
const INTERVAL_WHEN_MANY_PENDING: Duration = Duration::from_secs(30);

/// The time from a refused login to the next attempt: servers log each, and some block those who try too often.
const INTERVAL_OF_REFUSED_LOGINS: Duration = Duration::from_secs(2);

/// A connection keeps the plans of foreign keys. One that was made while a table was small would read the whole table when it
/// is large, until the next ANALYZE. Every statement finds its rows with an index, so no plan may do that.
const INDEXES_ONLY: &str = "-c enable_seqscan=off";

/// TCP keepalive: a peer that sends nothing for the idle time and acknowledges none of the probes is dead.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Opens connections to one PostgreSQL. Clones share the count of pending attempts.
#[derive(Clone)]
pub struct Connector {
    config: postgres::Config,
    tls: MakeRustlsConnect,
    timeout: Duration,
    pending: Arc<Mutex<Pending>>,
}

/// Attempts to connect that run, some of them past their deadline.
#[derive(Default)]
struct Pending {
    count: usize,
    last_began: Option<Instant>,
    /// When and why PostgreSQL refused a connection, if it did at the last attempt.
    refused: Option<(Instant, ConnectError)>,
}

/// Why there is no connection. The text is for the operator; it may name a host or a user, never a password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// TCP, TLS and login together took longer than `DB_CONNECTION_TIMEOUT`.
    #[error("no connection within {} s (DB_CONNECTION_TIMEOUT)", .0.as_secs())]
    TimedOut(Duration),
    /// Too many earlier attempts are pending, so none was made.
    #[error("{MANY_PENDING} earlier attempts still hang")]
    TooManyPending,
    /// PostgreSQL is reachable, and refuses the connection for a fault that an operator can mend.
    #[error("{reason} (SQLSTATE {sqlstate})")]
    Refused {
        /// What is wrong.
        fault: Fault,
        /// The SQLSTATE.
        sqlstate: String,
        /// PostgreSQL's words.
        reason: String,
    },
    /// The network or TLS failed, or PostgreSQL is starting or stopping.
    #[error("{0}")]
    Failed(String),
}

impl Connector {
    /// A connector for connections whose statements PostgreSQL cancels after `statement_timeout`.
    ///
    /// # Errors
    /// When the certificate authorities cannot be used.
    pub fn new(server: &Server, pool: &PoolSettings, statement_timeout: Duration) -> Result<Connector, ConnectError> {
        let mut config = server.connect.clone();
        let options = format!(
            "{} {INDEXES_ONLY} -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
            config.get_options().unwrap_or(""),
            statement_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        if config.get_application_name().is_none() {
            config.application_name("safespace");
        }
        // As in libpq, a Unix socket has no TLS, whatever the mode.
        let sockets_only = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let ssl_mode = if sockets_only { SslMode::Disable } else { server.ssl_mode };
        config
            .options(options.trim_start())
            .ssl_mode(match ssl_mode {
                SslMode::Disable => DriverSslMode::Disable,
                SslMode::Prefer => DriverSslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverSslMode::Require,
            })
            .connect_timeout(pool.connection_timeout)
            .tcp_user_timeout(pool.query_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let tls = tls::connector(ssl_mode, &server.authorities)
            .map_err(|error| ConnectError::Failed(format!("DB_SSLROOTCERT: {error}")))?;
        Ok(Connector { config, tls, timeout: pool.connection_timeout, pending: Arc::default() })
    }

    /// The same, with another time after which PostgreSQL cancels a statement.
    pub(super) fn with_statement_timeout(mut self, timeout: Duration) -> Connector {
        // The last one of several options of a name counts.
        let options =
            format!("{} -c statement_timeout={}", self.config.get_options().unwrap_or(""), timeout.as_millis());
        self.config.options(&options);
        self
    }

    /// Opens a connection.
    ///
    /// The driver bounds only the TCP handshake; a server that accepts and sends nothing would block the caller without
    /// limit. So each attempt has its own thread, which is abandoned at the deadline and ends when the server or the kernel
    /// closes the socket. When many abandoned attempts are pending, the network swallows connections, and further attempts
    /// are made at a low rate until one succeeds.
    ///
    /// # Errors
    /// At the deadline, and with the error of the network, of TLS or of PostgreSQL.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        self.begin()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let connector = self.clone();
        let attempt = thread::Builder::new().name("db-connect".to_owned()).spawn(move || {
            // The driver panics when the process has no descriptor left.
            let result = catch_unwind(AssertUnwindSafe(|| connector.attempt()));
            connector.end(matches!(result, Ok(Ok(_))));
            if let Ok(result) = result {
                // After the deadline there is no receiver, and the client is closed here.
                let _ = sender.send(result);
            }
        });
        if let Err(error) = attempt {
            self.end(false);
            return Err(ConnectError::Failed(error.to_string()));
        }
        let result = match receiver.recv_timeout(self.timeout) {
            Ok(result) => result.map_err(|error| ConnectError::from(&error)),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(ConnectError::TimedOut(self.timeout)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(ConnectError::Failed("the attempt broke off".to_owned())),
        };
        if let Err(error) = &result {
            let is_refused = matches!(error, ConnectError::Refused { .. });
            self.pending.lock().refused = is_refused.then(|| (Instant::now(), error.clone()));
        }
        result
    }

    /// The fault for which PostgreSQL refused the last attempt, if it did.
    pub(super) fn refusal(&self) -> Option<Fault> {
        match self.pending.lock().refused {
            Some((_, ConnectError::Refused { fault, .. })) => Some(fault),
            _ => None,
        }
    }

    fn attempt(&self) -> Result<Client, postgres::Error> {
        let connect = |config| PostgresConnectionManager::new(config, self.tls.clone()).connect();
        match connect(self.config.clone()) {
            // libpq's `prefer` falls back to plain text when the server refuses TLS: the handshake failed, or no line of
            // `pg_hba.conf` matches TLS.
            Err(error)
                if self.config.get_ssl_mode() == DriverSslMode::Prefer
                    && error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
            {
                connect(self.config.clone().ssl_mode(DriverSslMode::Disable).clone())
            }
            result => result,
        }
    }

    fn begin(&self) -> Result<(), ConnectError> {
        let mut pending = self.pending.lock();
        let is_recent = pending.last_began.is_some_and(|last| last.elapsed() < INTERVAL_WHEN_MANY_PENDING);
        if pending.count >= MANY_PENDING && is_recent {
            return Err(ConnectError::TooManyPending);
        }
        if let Some((at, refusal @ ConnectError::Refused { fault: Fault::Login, .. })) = &mut pending.refused {
            if at.elapsed() < INTERVAL_OF_REFUSED_LOGINS {
                return Err(refusal.clone());
            }
            // The others wait for the outcome of this one.
            *at = Instant::now();
        }
        pending.count += 1;
        pending.last_began = Some(Instant::now());
        Ok(())
    }

    /// A success shows that the network works, so abandoned attempts no longer count.
    fn end(&self, success: bool) {
        let mut pending = self.pending.lock();
        pending.count = if success { 0 } else { pending.count.saturating_sub(1) };
        if success {
            pending.refused = None;
        }
    }
}

/// Closes a connection on a thread of its own: the driver waits for the server without a limit (rust-postgres issue 755).
pub(super) fn close(client: Client) {
    // If no thread can be spawned, the closure and the client are dropped here.
    let _ = thread::Builder::new().name("db-close".to_owned()).spawn(move || drop(client));
}

impl From<&postgres::Error> for ConnectError {
    fn from(error: &postgres::Error) -> ConnectError {
        let Some(code) = error.code() else { return ConnectError::Failed(root_cause(error)) };
        let (sqlstate, reason) = (code.code().to_owned(), root_cause(error));
        match Fault::of(code) {
            // For CONNECT on the database.
            Some(Fault::Privilege) => ConnectError::Refused { fault: Fault::Login, sqlstate, reason },
            Some(Fault::Schema | Fault::ReadOnly) | None => {
                ConnectError::Failed(format!("{reason} (SQLSTATE {sqlstate})"))
            }
            Some(fault) => ConnectError::Refused { fault, sqlstate, reason },
        }
    }
}
