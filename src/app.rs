//! Puts the parts together, and starts and stops them in order. The tests start the same [`App`] as the binary.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::Context;
use crate::companion::{self, OpenError};
use crate::config::{self, Address, Config, Pool, Server};
use crate::exporter::Exporter;
use crate::http::{self, Limits};
use crate::metrics::Metrics;
use crate::store::migrations::{self, MigrationError};
use crate::store::private::{PrivateError, PrivatePostgres};
use crate::store::{ConnectError, Database, Target};
use crate::turns::{Bounds, Turns};

/// Attempts to reach the database at start, and the wait after the first; it doubles after each.
const START_ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Connections of the private PostgreSQL beyond the pool's: for `psql`, backups and PostgreSQL itself.
const SPARE_CONNECTIONS: u32 = 10;

/// Descriptors that one connection to PostgreSQL takes: its socket, and what the driver needs to wait for it.
const DESCRIPTORS_PER_CONNECTION: usize = 4;

/// Descriptors that one call to a model takes: its socket, and what looks its name up.
const DESCRIPTORS_PER_CALL: usize = 2;

/// Descriptors for everything else: the log, the private PostgreSQL, signals, the poller, who asks for metrics.
const OTHER_DESCRIPTORS: usize = 160;

/// Connections of those who ask for metrics.
const METRICS_CONNECTIONS: usize = 32;

/// Fewer connections than this are of no use, whatever the limit on descriptors.
const LEAST_CONNECTIONS: usize = 16;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private PostgreSQL did not start.
    #[error(transparent)]
    Private(PrivateError),
    /// The database was not reached or is not usable.
    #[error("the database is not usable: {0}")]
    Database(#[from] MigrationError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// `APP_HOST:APP_PORT` or `METRICS_HOST:METRICS_PORT`.
        address: String,
        /// What the operating system says.
        reason: String,
    },
    /// There is nobody to answer as the configuration says.
    #[error("the companion is not usable: {0}")]
    Companion(#[from] OpenError),
    /// The operating system does not let signals be handled.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// A signal came before the service was up.
    #[error("stopped while starting")]
    Interrupted,
}

impl From<PrivateError> for StartError {
    fn from(error: PrivateError) -> StartError {
        match error {
            PrivateError::Interrupted => StartError::Interrupted,
            error => StartError::Private(error),
        }
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> StartError {
        StartError::Database(error.into())
    }
}

/// A running service; dropping it stops it at once, [`App::stop`] in order.
pub struct App {
    server: http::Server,
    exporter: Option<http::Server>,
    context: Arc<Context>,
    grace: Duration,
    /// Who answers, for the greeting.
    answers: String,
    /// Dropped last of all.
    postgres: Option<PrivatePostgres>,
}

impl App {
    /// Starts everything: the private PostgreSQL if there is to be one, the migrations, the pool, the server.
    /// `stop` is looked at while waiting.
    ///
    /// # Errors
    /// As [`StartError`] has them; what was started is stopped again.
    pub fn start(config: &Config, stop: &AtomicBool) -> Result<App, StartError> {
        for warning in config.warnings() {
            log::warn!("{warning}");
        }
        let companion = companion::open(&config.companion)?;
        let listener = listen(&config.http.address)?;
        let for_metrics = config.metrics.as_ref().map(listen).transpose()?;
        let (server, postgres) = open_server(config, stop)?;
        migrate_patiently(&server, &config.pool, stop)?;
        let target = Target::new(&server, &config.pool, config.pool.query_timeout)?;
        let metrics = Arc::new(Metrics::default());
        let database = Arc::new(Database::open(target, &config.pool, metrics.clone()));
        let stopping = AtomicBool::new(false);
        let bounds = Bounds { timeout: config.companion.timeout, concurrency: config.companion.concurrency };
        let turns = Turns::new(database.clone(), companion, bounds, metrics.clone());
        let context = Arc::new(Context { database: database.clone(), turns, metrics: metrics.clone(), stopping });
        let limits = fit_to_descriptors(&config.http.limits, config);
        let server = http::Server::start(listener, limits.clone(), context.clone());
        let server = server.map_err(|error| cannot_listen(&config.http.address, &error))?;
        let exporter = for_metrics.zip(config.metrics.as_ref()).map(|(listener, address)| {
            let exporter = Exporter::new(server.observer(), database, metrics);
            let limits = Limits { workers: 1, max_connections: METRICS_CONNECTIONS, ..limits };
            http::Server::start(listener, limits, Arc::new(exporter)).map_err(|error| cannot_listen(address, &error))
        });
        let exporter = exporter.transpose()?;
        let answers = config.companion.to_string();
        Ok(App { server, exporter, context, grace: config.http.shutdown_grace, answers, postgres })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where it tells what it counts, if it does.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.exporter.as_ref().map(http::Server::address)
    }

    /// A few lines for the person who started it: where things are, and how to stop.
    #[must_use]
    pub fn greeting(&self) -> String {
        let mut lines = format!("SafeSpace {}\n", env!("CARGO_PKG_VERSION"));
        if let Some(postgres) = &self.postgres {
            let (version, folder) = (postgres.version(), postgres.data_folder().display());
            let _ = writeln!(lines, "  Data     {folder} (a private PostgreSQL {version}, kept between starts)");
        }
        let _ = writeln!(lines, "  Answers  {}", self.answers);
        let url = format!("http://{}", to_be_visited(self.address()));
        let _ = writeln!(lines, "  Address  {url} (listening on {})", self.address());
        let _ = writeln!(lines, "  API      {url}/docs");
        if let Some(address) = self.metrics_address() {
            let _ = writeln!(lines, "  Metrics  http://{}/metrics", to_be_visited(address));
        }
        let _ = writeln!(lines, "  Stop     Ctrl-C");
        lines
    }

    /// The PostgreSQL it keeps, if it keeps one.
    #[must_use]
    pub fn postgres(&self) -> Option<&PrivatePostgres> {
        self.postgres.as_ref()
    }

    /// Stops in order: not ready any more, no new connections, requests in flight answered within `APP_SHUTDOWN_GRACE`,
    /// the pool closed, the private PostgreSQL stopped.
    pub fn stop(self) {
        let now = Instant::now();
        self.context.stopping.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            // A little sooner than the server, so that who waits for an answer is told that there is none. It also
            // waits for turns whose clients have gone away.
            scope.spawn(|| self.context.turns.close(now + self.grace * 9 / 10));
            if !self.server.stop(self.grace) {
                log::warn!(grace_s = self.grace.as_secs(); "Stopping with requests still in flight");
            }
        });
        self.context.database.close();
    }
}

/// Brings the schema up to date and returns its version. A private PostgreSQL is started for it unless it runs.
///
/// # Errors
/// As [`StartError`] has them.
pub fn migrate(config: &Config, stop: &AtomicBool) -> Result<i32, StartError> {
    let (server, _postgres) = match &config.database {
        config::Database::Private(private) if PrivatePostgres::is_running(private) => {
            (PrivatePostgres::server(private), None)
        }
        _ => open_server(config, stop)?,
    };
    migrate_patiently(&server, &config.pool, stop)?;
    Ok(migrations::NEWEST)
}

/// Where the database is, after starting it if it is the service's own.
fn open_server(config: &Config, stop: &AtomicBool) -> Result<(Server, Option<PrivatePostgres>), StartError> {
    match &config.database {
        config::Database::Server(server) => Ok(((**server).clone(), None)),
        config::Database::Private(private) => {
            let settings = [format!("max_connections={}", config.pool.max_size + SPARE_CONNECTIONS)];
            let postgres = PrivatePostgres::start(private, &settings, stop)?;
            Ok((PrivatePostgres::server(private), Some(postgres)))
        }
    }
}

/// Applies the migrations, trying again for a while when the database is not there yet: services and databases are
/// often started together.
fn migrate_patiently(server: &Server, pool: &Pool, stop: &AtomicBool) -> Result<(), StartError> {
    let mut wait = FIRST_WAIT;
    let mut attempt = 1;
    let applied = loop {
        let reason = match migrations::apply(server, pool, stop) {
            Ok(applied) => break applied,
            Err(MigrationError::Connect(reason)) => reason,
            Err(MigrationError::Interrupted) => return Err(StartError::Interrupted),
            Err(error) => return Err(error.into()),
        };
        log::warn!(attempt, of = START_ATTEMPTS, database:% = server, reason:% = reason; "Database not reached");
        if attempt == START_ATTEMPTS {
            return Err(reason.into());
        }
        sleep_unless_stopped(wait, stop)?;
        wait *= 2;
        attempt += 1;
    };
    if applied > 0 {
        log::info!(applied, version = migrations::NEWEST; "Schema migrated");
    }
    Ok(())
}

fn sleep_unless_stopped(wait: Duration, stop: &AtomicBool) -> Result<(), StartError> {
    let slice = Duration::from_millis(50);
    for _ in 0..wait.as_millis() / slice.as_millis() {
        if stop.load(Ordering::Relaxed) {
            return Err(StartError::Interrupted);
        }
        thread::sleep(slice);
    }
    Ok(())
}

/// Listens before anything else is started, so that a port in use is told at once. Who comes before the service is
/// up waits.
fn listen(address: &Address) -> Result<TcpListener, StartError> {
    TcpListener::bind((address.host.as_str(), address.port)).map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: &Address, reason: &io::Error) -> StartError {
    StartError::Listen { address: address.to_string(), reason: reason.to_string() }
}

/// As many connections as there are descriptors for, beside those that the rest of the service needs: a client too many
/// can be told so, a database that cannot be reached for want of a descriptor helps nobody.
fn fit_to_descriptors(limits: &Limits, config: &Config) -> Limits {
    let descriptors = http::raise_limit().unwrap_or_else(|error| {
        log::warn!(error:%; "The limit on open descriptors is not known");
        u64::MAX
    });
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    // A worker that is stuck keeps its socket, and there can be twice as many of them.
    let sockets_apart = http::MOST_LINGERING + 2 * limits.workers;
    let for_database = config.pool.max_size as usize * DESCRIPTORS_PER_CONNECTION;
    let for_companion = config.companion.concurrency * DESCRIPTORS_PER_CALL;
    let needed = for_database + for_companion + sockets_apart + OTHER_DESCRIPTORS;
    let room = descriptors.saturating_sub(needed).max(LEAST_CONNECTIONS);
    if room < limits.max_connections {
        log::warn!(descriptors, connections = room; "The limit on open descriptors allows fewer than APP_MAX_CONNECTIONS");
    }
    Limits { max_connections: limits.max_connections.min(room), ..limits.clone() }
}

/// The address as a browser on this machine can use it: "every address" is none to go to.
fn to_be_visited(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
        _ => address,
    }
}
