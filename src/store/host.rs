//! One host of the connection URL: attempts to connect to it, each on a thread that is abandoned at its deadline.

use std::io;
use std::net::ToSocketAddrs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;
use postgres::config::{Host as Address, SslMode as DriverSslMode, TargetSessionAttrs};
use postgres::error::SqlState;
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::ConnectError;
use super::fault::Fault;
use super::timelines::{ServerState, Timelines};
use crate::config::{Server, ServerHost, SslMode};

/// With this many attempts pending at all hosts, another is made only after [`INTERVAL_WHEN_MANY_PENDING`]; see [`Host::start`]. Each
/// host has its part.
const MANY_PENDING: usize = 64;
const INTERVAL_WHEN_MANY_PENDING: Duration = Duration::from_secs(30);

/// The time from a refused login to the next attempt: servers log each, and some block those who try too often.
const INTERVAL_OF_REFUSED_LOGINS: Duration = Duration::from_secs(2);

/// TCP keepalive: a peer that sends nothing for the idle time and acknowledges none of the probes is dead.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// The times of a connection.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    /// Of the TCP handshake; the addresses of a name share it.
    pub(super) connect: Duration,
    /// Until the peer must have acknowledged what was sent, a keepalive probe included.
    pub(super) unacknowledged: Duration,
    /// Until an idle connection is probed.
    pub(super) keepalive_idle: Duration,
}

/// A host. Clones share the count of pending attempts.
#[derive(Clone)]
pub(super) struct Host {
    /// Name and port, for the operator.
    pub(super) label: String,
    config: postgres::Config,
    /// Of the TCP handshakes with all addresses of the name.
    connect_timeout: Duration,
    tls: MakeRustlsConnect,
    many_pending: usize,
    pending: Arc<Mutex<Pending>>,
}

/// What a connection must fulfil beyond the login.
#[derive(Clone)]
pub(super) struct Demands {
    /// It takes writes.
    pub(super) writes: bool,
    /// It is none to an older timeline; `None` where there is one host only.
    pub(super) timelines: Option<Arc<Timelines>>,
}

/// Attempts to connect that run, some of them past their deadline.
#[derive(Default)]
struct Pending {
    count: usize,
    last_began: Option<Instant>,
    /// When and why PostgreSQL refused the login, if it did at the last attempt.
    refused: Option<(Instant, ConnectError)>,
}

impl Host {
    /// A host of a server: the driver's own configuration would try all hosts one after the other. `count`: of the server's hosts.
    pub(super) fn new(
        server: &Server,
        host: &ServerHost<'_>,
        count: usize,
        options: &str,
        tls: &MakeRustlsConnect,
        timeouts: Timeouts,
    ) -> Host {
        let (given, mut config) = (&server.connect, postgres::Config::new());
        // As in libpq, a Unix socket has no TLS, whatever the mode.
        let ssl_mode = match (host.address, server.ssl_mode) {
            (Address::Unix(_), _) | (_, SslMode::Disable) => DriverSslMode::Disable,
            (_, SslMode::Prefer) => DriverSslMode::Prefer,
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => DriverSslMode::Require,
        };
        match host.address {
            Address::Tcp(name) => _ = config.host(name),
            Address::Unix(folder) => _ = config.host_path(folder),
        }
        let _ = host.ip.map(|ip| config.hostaddr(ip));
        let _ = given.get_user().map(|user| config.user(user));
        let _ = given.get_password().map(|password| config.password(password));
        let _ = given.get_dbname().map(|name| config.dbname(name));
        config
            .port(host.port)
            .application_name(given.get_application_name().unwrap_or("safespace"))
            .options(options)
            .channel_binding(given.get_channel_binding())
            .load_balance_hosts(given.get_load_balance_hosts())
            .ssl_mode(ssl_mode)
            .connect_timeout(timeouts.connect)
            .tcp_user_timeout(timeouts.unacknowledged)
            .keepalives_idle(timeouts.keepalive_idle)
            .keepalives_interval(KEEPALIVE_INTERVAL.min(timeouts.keepalive_idle))
            .keepalives_retries(KEEPALIVE_RETRIES);
        Host {
            label: host.to_string(),
            config,
            connect_timeout: timeouts.connect,
            tls: tls.clone(),
            many_pending: (MANY_PENDING / count).max(1),
            pending: Arc::default(),
        }
    }

    /// The same; the last one of several options of a name counts.
    pub(super) fn with_option(mut self, option: &str) -> Host {
        let options = format!("{} {option}", self.config.get_options().unwrap_or(""));
        self.config.options(&options);
        self
    }

    /// Begins an attempt on a thread of its own, which passes the result on.
    ///
    /// The driver bounds only the TCP handshake; a server that accepts and sends nothing would block the caller without
    /// limit. So the caller abandons the thread at its deadline, and it ends when the server or the kernel closes the socket.
    /// When many abandoned attempts are pending, the network swallows connections, and further attempts are made at a low rate
    /// until one succeeds.
    ///
    /// # Errors
    /// When none is made.
    pub(super) fn start(
        &self,
        demands: &Demands,
        finish: impl FnOnce(Result<Client, ConnectError>) + Send + 'static,
    ) -> Result<(), ConnectError> {
        self.begin()?;
        let (host, demands) = (self.clone(), demands.clone());
        let attempt = thread::Builder::new().name("db-connect".to_owned()).spawn(move || {
            // An abandoned client is closed here.
            finish(host.finish(&demands));
        });
        attempt.map(drop).map_err(|error| {
            let error = ConnectError::Failed(error.to_string());
            self.end(Some(&error));
            error
        })
    }

    /// Opens a connection as [`Host::start`] does, without any limit of time.
    ///
    /// # Errors
    /// When none is made, or the attempt fails.
    pub(super) fn open(&self, demands: &Demands) -> Result<Client, ConnectError> {
        self.begin()?;
        self.finish(demands)
    }

    fn finish(&self, demands: &Demands) -> Result<Client, ConnectError> {
        // The driver panics when the process has no descriptor left.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut client = self.log_in(demands)?;
            if demands.writes || demands.timelines.is_some() {
                self.examine(&mut client, demands)?;
            }
            Ok(client)
        }));
        let result = result.unwrap_or_else(|_| Err(ConnectError::Failed("the attempt broke off".to_owned())));
        self.end(result.as_ref().err());
        result
    }

    fn examine(&self, client: &mut Client, demands: &Demands) -> Result<(), ConnectError> {
        let state = ServerState::ask(client).map_err(|error| ConnectError::from(&error))?;
        let is_current = demands.timelines.as_ref().is_none_or(|timelines| timelines.observe(&self.label, &state));
        if demands.writes && state.is_read_only {
            Err(ConnectError::ReadOnly)
        } else if is_current {
            Ok(())
        } else {
            Err(ConnectError::Failed("the server was replaced by one with a newer timeline".to_owned()))
        }
    }

    fn log_in(&self, demands: &Demands) -> Result<Client, ConnectError> {
        let connect = |config| PostgresConnectionManager::new(config, self.tls.clone()).connect();
        let config = self.resolve(demands).map_err(|error| ConnectError::Failed(error.to_string()))?;
        let result = match connect(config.clone()) {
            // libpq's `prefer` falls back to plain text when the server refuses TLS: the handshake failed, or no line of
            // `pg_hba.conf` matches TLS.
            Err(error)
                if config.get_ssl_mode() == DriverSslMode::Prefer
                    && error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
            {
                connect(config.clone().ssl_mode(DriverSslMode::Disable).clone())
            }
            result => result,
        };
        result.map_err(|error| ConnectError::from(&error))
    }

    /// The configuration with the addresses that the name has now. Of several, the driver tries one after the other, each for its part
    /// of the time, until one fulfils the demands.
    fn resolve(&self, demands: &Demands) -> io::Result<postgres::Config> {
        let mut config = self.config.clone();
        let ([Address::Tcp(name)], [], [port]) =
            (self.config.get_hosts(), self.config.get_hostaddrs(), self.config.get_ports())
        else {
            return Ok(config);
        };
        let addresses: Vec<_> = (name.as_str(), *port).to_socket_addrs()?.map(|address| address.ip()).collect();
        if addresses.len() < 2 {
            return Ok(config);
        }
        // The driver wants a name for each address.
        addresses.iter().skip(1).for_each(|_| _ = config.host(name));
        addresses.iter().for_each(|address| _ = config.hostaddr(*address));
        config.connect_timeout(self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX));
        if demands.writes {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(config)
    }

    fn begin(&self) -> Result<(), ConnectError> {
        let mut pending = self.pending.lock();
        let is_recent = pending.last_began.is_some_and(|last| last.elapsed() < INTERVAL_WHEN_MANY_PENDING);
        if pending.count >= self.many_pending && is_recent {
            return Err(ConnectError::TooManyPending);
        }
        if let Some((at, refusal)) = &mut pending.refused {
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
    fn end(&self, error: Option<&ConnectError>) {
        let mut pending = self.pending.lock();
        pending.count = if error.is_none() { 0 } else { pending.count.saturating_sub(1) };
        let refusal = error.filter(|error| matches!(error, ConnectError::Refused { fault: Fault::Login, .. }));
        pending.refused = refusal.map(|refusal| (Instant::now(), refusal.clone()));
    }
}
