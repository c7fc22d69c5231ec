//! Opens connections, each within a deadline that covers all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::config::{Host, SslMode as DriverSslMode};
use postgres::error::SqlState;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::root_cause;
use super::tls;
use crate::config::{Pool, Server, SslMode};

type Connector = PostgresConnectionManager<MakeRustlsConnect>;

/// Past so many attempts that hang, another is made only now and then; see [`Target::connect`].
const MANY_HANGING: usize = 64;
const PACE_WHEN_MANY_HANG: Duration = Duration::from_secs(30);

/// How long PostgreSQL waits for the acknowledgement of a probe, and how many may be lost, before a silent peer is dead.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// A PostgreSQL to connect to, and how long that may take.
#[derive(Clone)]
pub struct Target {
    connector: Arc<Connector>,
    /// libpq's `prefer` tries again in plain text when the server refuses TLS.
    plain_text: Option<Arc<Connector>>,
    deadline: Duration,
    hanging: Arc<Hanging>,
}

/// Attempts to connect that are under way or hang past their deadline.
#[derive(Default)]
struct Hanging {
    count: AtomicUsize,
    last_begun: Mutex<Option<Instant>>,
}

/// Why there is no connection. Its text is for the operator; it may name a host or a user, never a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP, TLS and login together took longer than `DB_CONNECTION_TIMEOUT`.
    #[error("no connection within {} s (DB_CONNECTION_TIMEOUT)", .0.as_secs())]
    TimedOut(Duration),
    /// So many earlier attempts still hang that another would only add to them.
    #[error("{MANY_HANGING} earlier attempts still hang")]
    TooManyHanging,
    /// PostgreSQL is there, and gives this role no more connections.
    #[error("{0}")]
    NoMore(String),
    /// PostgreSQL, or the way to it, said no.
    #[error("{0}")]
    Failed(String),
}

impl Target {
    /// A target whose statements PostgreSQL cancels after `statement_timeout`.
    ///
    /// # Errors
    /// When the certificate authorities cannot be used.
    pub fn new(server: &Server, pool: &Pool, statement_timeout: Duration) -> Result<Target, ConnectError> {
        let mut connect = server.connect.clone();
        let options = format!(
            "{} -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
            connect.get_options().unwrap_or(""),
            statement_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        connect.options(options.trim_start());
        if connect.get_application_name().is_none() {
            connect.application_name("safespace");
        }
        connect
            .connect_timeout(pool.connection_timeout)
            .tcp_user_timeout(pool.query_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);

        // A Unix socket has no TLS, whatever is asked for: as in libpq.
        let sockets_only = connect.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let ssl_mode = if sockets_only { SslMode::Disable } else { server.ssl_mode };
        let tls = tls::connector(ssl_mode, &server.authorities)
            .map_err(|error| ConnectError::Failed(format!("DB_SSLROOTCERT: {error}")))?;
        let connector =
            |mode: DriverSslMode| Arc::new(Connector::new(connect.clone().ssl_mode(mode).clone(), tls.clone()));
        Ok(Target {
            connector: connector(match ssl_mode {
                SslMode::Disable => DriverSslMode::Disable,
                SslMode::Prefer => DriverSslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverSslMode::Require,
            }),
            plain_text: (ssl_mode == SslMode::Prefer).then(|| connector(DriverSslMode::Disable)),
            deadline: pool.connection_timeout,
            hanging: Arc::default(),
        })
    }

    /// Opens a connection.
    ///
    /// The driver bounds only the TCP part, and a server that accepts and then says nothing would hold the caller for
    /// ever. So a thread of its own does the work; past the deadline it is left to end when the server or the kernel
    /// does. Where many are left, something in between swallows connections: they come at a slow pace from then on,
    /// until one succeeds.
    ///
    /// # Errors
    /// Past the deadline, and with whatever PostgreSQL or the network says.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        self.hanging.begin()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let target = self.clone();
        let attempt = thread::Builder::new().name("db-connect".to_owned()).spawn(move || {
            // The driver panics where it cannot have another descriptor.
            let result = catch_unwind(AssertUnwindSafe(|| target.attempt()));
            target.hanging.end(matches!(result, Ok(Ok(_))));
            if let Ok(result) = result {
                // A client that nobody waits for any more is closed here.
                let _ = sender.send(result);
            }
        });
        if let Err(error) = attempt {
            self.hanging.end(false);
            return Err(ConnectError::Failed(error.to_string()));
        }
        match receiver.recv_timeout(self.deadline) {
            Ok(result) => result.map_err(|error| ConnectError::from(&error)),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(ConnectError::TimedOut(self.deadline)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(ConnectError::Failed("the attempt broke off".to_owned())),
        }
    }

    fn attempt(&self) -> Result<Client, postgres::Error> {
        let first = self.connector.connect();
        match (&self.plain_text, &first) {
            (Some(plain_text), Err(error)) if may_be_about_tls(error) => plain_text.connect(),
            _ => first,
        }
    }
}

impl Hanging {
    fn begin(&self) -> Result<(), ConnectError> {
        let mut last_begun = self.last_begun.lock().unwrap_or_else(PoisonError::into_inner);
        let many = self.count.load(Ordering::Relaxed) >= MANY_HANGING;
        if many && last_begun.is_some_and(|last| last.elapsed() < PACE_WHEN_MANY_HANG) {
            return Err(ConnectError::TooManyHanging);
        }
        *last_begun = Some(Instant::now());
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// After a success the way is open again, and those that still hang do not count any more.
    fn end(&self, success: bool) {
        let fewer = |count: usize| Some(if success { 0 } else { count.saturating_sub(1) });
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}

impl From<&postgres::Error> for ConnectError {
    fn from(error: &postgres::Error) -> ConnectError {
        // Class 53, insufficient resources: of the server, of the database or of the role.
        let no_more = error.code().is_some_and(|code| code.code().starts_with("53"));
        if no_more { ConnectError::NoMore(root_cause(error)) } else { ConnectError::Failed(root_cause(error)) }
    }
}

/// Whether a server that refused a TLS connection might take a plain one: the handshake failed, or `pg_hba.conf` has no
/// line for it.
fn may_be_about_tls(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}
