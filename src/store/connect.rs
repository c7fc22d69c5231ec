//! Opens connections, each within a deadline that covers all of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::Client;
use postgres::config::{Host, SslMode as DriverSslMode};
use postgres::error::SqlState;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::config::{Pool, Server, SslMode};

type Connector = PostgresConnectionManager<MakeRustlsConnect>;

/// Attempts that may hang past their deadline at once; see [`Target::connect`].
const MAX_HANGING_ATTEMPTS: usize = 64;

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
    hanging: Arc<AtomicUsize>,
}

/// Why there is no connection. Its text is for the operator; it may name a host or a user, never a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP, TLS and login together took longer than `DB_CONNECTION_TIMEOUT`.
    #[error("no connection within {} s (DB_CONNECTION_TIMEOUT)", .0.as_secs())]
    TimedOut(Duration),
    /// So many earlier attempts still hang that another would only add to them.
    #[error("{MAX_HANGING_ATTEMPTS} earlier attempts still hang")]
    TooManyHanging,
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
    /// does, and the number of such threads is bounded.
    ///
    /// # Errors
    /// Past the deadline, and with whatever PostgreSQL or the network says.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        if self.hanging.fetch_add(1, Ordering::Relaxed) >= MAX_HANGING_ATTEMPTS {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectError::TooManyHanging);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let target = self.clone();
        let attempt = thread::Builder::new().name("db-connect".to_owned()).spawn(move || {
            let result = target.attempt();
            target.hanging.fetch_sub(1, Ordering::Relaxed);
            // A client that nobody waits for any more is closed here.
            let _ = sender.send(result);
        });
        if let Err(error) = attempt {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectError::Failed(error.to_string()));
        }
        match receiver.recv_timeout(self.deadline) {
            Ok(result) => result.map_err(|error| ConnectError::Failed(reason(&error))),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(ConnectError::TimedOut(self.deadline)),
            // The driver panics where it cannot have another descriptor.
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

/// Whether a server that refused a TLS connection might take a plain one: the handshake failed, or `pg_hba.conf` has no
/// line for it.
fn may_be_about_tls(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// The whole chain of causes: the driver's own text says no more than "error connecting to server".
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = join(&text, error);
        cause = error.source();
    }
    text
}

fn join(text: &str, cause: &dyn fmt::Display) -> String {
    let cause = cause.to_string();
    if text.contains(&cause) { text.to_owned() } else { format!("{text}: {cause}") }
}
