//! Connects the parts of the service, and starts and stops them in order. The tests start the same [`App`] as the binary.

mod startup;

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::admission::Admission;
use crate::api::{Context, MAX_PAGE_READS_OF_PEER, ReportWorkers, Resources};
use crate::companion;
use crate::config::{Address, Config};
use crate::exporter::Exporter;
use crate::http::{self, Limits};
use crate::metrics::Metrics;
use crate::peers::PeerLimit;
use crate::privacy::{Disclosure, ReplacedTexts};
use crate::private_postgres::PrivatePostgres;
use crate::report::Templates;
use crate::resources::Registry;
use crate::store::migrations::{self, MigrationError};
use crate::store::{Connector, Store, Watermark};
use crate::turns::{TurnLimits, Turns};
use crate::web::Site;
pub use startup::{
    ONLY_COORDINATOR, StartError, delete_old_data, migrate, needed_descriptors, refuses_risk, text_warnings,
    upgrade_data, warnings,
};

/// A running service. [`App::stop`] stops it in order; dropping it stops it at once.
pub struct App {
    server: http::Server,
    exporter: Option<http::Server>,
    context: Arc<Context>,
    grace: Duration,
    /// The companion, for the greeting.
    companion: String,
    /// The private PostgreSQL, if it is configured; dropped last of all.
    pub postgres: Option<PrivatePostgres>,
}

impl App {
    /// Starts the private PostgreSQL if configured, the migrations, the pool and the server; gives up when `stop` is set.
    ///
    /// # Errors
    /// As [`StartError`]; the parts that were started are stopped again.
    pub fn start(config: &Config, stop: &AtomicBool) -> Result<App, StartError> {
        for warning in warnings(config) {
            log::warn!("{warning}");
        }
        let resources = Arc::new(Registry::load(config.texts.resources.as_deref())?);
        for warning in startup::text_warnings(config, &resources) {
            log::warn!("{warning}");
        }
        let companion = companion::build(&config.companion, &resources)?;
        if !companion.can_classify() {
            log::warn!("{}", companion::CANNOT_CLASSIFY);
        }
        let templates = Templates::load(config.texts.report_templates.as_deref(), &resources)?;
        for warning in templates.left_out() {
            log::warn!("{warning}");
        }
        if templates.reviewed().is_none() {
            log::warn!("{}", Templates::NOT_REVIEWED);
        }
        let site = Site::load(&config.web, config.retention, config.companion.model_host())?.map(Arc::new);
        let listener = bind(&config.http.address)?;
        let metrics_listener = config.metrics.as_ref().map(bind).transpose()?;
        let (server, postgres) = startup::open_database(config, stop)?;
        startup::migrate_with_retries(&server, &config.pool, stop)?;
        if let Some(warning) = migrations::verify(&server, &config.pool)? {
            log::warn!("{warning}");
        }
        startup::ensure_durability(&server, config, stop)?;
        let connector =
            Connector::new(&server, &config.pool, config.pool.query_timeout).map_err(MigrationError::from)?;
        let metrics = Arc::new(Metrics::default());
        let watermark = Watermark::start(&config.storage, startup::data_location(config), connector.clone());
        let store = Arc::new(Store::open(&connector, &config.pool, config.retention, watermark, &metrics));
        let (timeout, concurrency) = (config.companion.timeout, config.companion.concurrency);
        let turn_limits =
            TurnLimits { timeout, concurrency, session: config.session_limits, retention: config.retention };
        let admission = Admission::new(&config.protection, startup::peers(&config.protection), metrics.clone());
        let turns = Turns::new(store.clone(), companion, turn_limits, metrics.clone());
        let disclosure = Disclosure {
            turns: turns.clone(),
            metrics: metrics.clone(),
            retention: config.retention,
            rules: admission.rules(),
            help_lines: resources.clone(),
            help_lines_max_age_days: config.texts.resources_max_age_days,
            has_reviewed_reports: templates.reviewed().is_some(),
            replaced: replaced_texts(config),
            site: site.clone(),
            exit_urls: config.exit_urls.clone(),
            metrics_address: metrics_listener.as_ref().and_then(|listener| Some(listener.local_addr().ok()?.ip())),
            has_private_database: postgres.is_some(),
        };
        let context = Arc::new(Context {
            store: store.clone(),
            allowed_origins: config.allowed_origins.clone(),
            reports: Arc::new(ReportWorkers::new(templates)),
            retention: config.retention,
            admission,
            turns,
            metrics: metrics.clone(),
            disclosure: Arc::new(disclosure),
            resources: Arc::new(Resources::new(resources.clone(), config.texts.resources_max_age_days)),
            page_reads: Arc::new(PeerLimit::new(MAX_PAGE_READS_OF_PEER)),
            site,
            exit_urls: config.exit_urls.clone(),
            timers: Arc::default(),
            stopping: AtomicBool::new(false),
        });
        let limits = startup::server_limits(config);
        let server = http::Server::start(listener, limits.clone(), context.clone());
        let server = server.map_err(cannot_listen(&config.http.address))?;
        let exporter = metrics_listener.zip(config.metrics.as_ref()).map(|(listener, address)| {
            let exporter =
                Exporter::new(server.observer(), store, metrics, resources, config.texts.resources_max_age_days);
            let limits = Limits { workers: 1, max_connections: 32, ..limits };
            http::Server::start(listener, limits, Arc::new(exporter)).map_err(cannot_listen(address))
        });
        let exporter = exporter.transpose()?;
        let (grace, companion) = (config.http.shutdown_grace, config.companion.to_string());
        Ok(App { server, exporter, context, grace, companion, postgres })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address of the metrics, if they are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.exporter.as_ref().map(http::Server::address)
    }

    /// A few lines for the operator: where everything is, and how to stop.
    #[must_use]
    pub fn greeting(&self) -> String {
        let mut lines = format!("SafeSpace {}\n", env!("CARGO_PKG_VERSION"));
        let url = format!("http://{}", reachable(self.address()));
        if self.context.site.is_some() {
            let _ = writeln!(lines, "  Page     {url}");
        }
        if let Some(postgres) = &self.postgres {
            let (version, folder) = (postgres.version(), postgres.data_folder().display());
            let _ = writeln!(lines, "  Data     {folder} (a private PostgreSQL {version}, kept between starts)");
        }
        let _ = writeln!(lines, "  Answers  {}", self.companion);
        let _ = writeln!(lines, "  Address  {url} (listening on {})", self.address());
        let _ = writeln!(lines, "  API      {url}/docs");
        if let Some(address) = self.metrics_address() {
            let _ = writeln!(lines, "  Metrics  http://{}/metrics", reachable(address));
        }
        let _ = writeln!(lines, "  Stop     Ctrl-C");
        lines
    }

    /// Prepares for the stop: not ready any more, and every response closes its connection, while requests are still served.
    pub fn drain(&self) {
        self.context.stopping.store(true, Ordering::Relaxed);
        self.server.drain();
    }

    /// Stops in order: not ready any more, no new connections, requests in flight answered within `APP_SHUTDOWN_GRACE`,
    /// the pool closed, the private PostgreSQL stopped.
    pub fn stop(self) {
        let now = Instant::now();
        self.drain();
        thread::scope(|scope| {
            // A little sooner than the server, so that clients whose turn is cancelled receive an error. It also waits for
            // turns whose clients have disconnected.
            scope.spawn(|| self.context.turns.close(now + self.grace * 9 / 10));
            if !self.server.stop(self.grace) {
                log::warn!(grace_s = self.grace.as_secs(); "Stopping with requests still in flight");
            }
        });
        self.context.store.close();
    }
}

fn replaced_texts(config: &Config) -> ReplacedTexts {
    ReplacedTexts {
        script: config.companion.script.is_some(),
        prompt: config.companion.model.as_ref().is_some_and(|model| model.prompt.is_some()),
        help_lines: config.texts.resources.is_some(),
        reports: config.texts.report_templates.is_some(),
    }
}

/// Takes the port before any other part starts, so that one in use is reported at once. Connections are refused until the server
/// listens: while this instance waits for the database or for a migration, a proxy sends its requests to another one.
fn bind(address: &Address) -> Result<TcpListener, StartError> {
    let mut bound = Err(io::ErrorKind::AddrNotAvailable.into());
    let addresses = (address.host.as_str(), address.port).to_socket_addrs().map_err(cannot_listen(address))?;
    for address in addresses {
        bound = bind_one(address);
        if bound.is_ok() {
            break;
        }
    }
    bound.map_err(cannot_listen(address))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier process may still wait for their end at this port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn cannot_listen(address: &Address) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Listen(address.to_string(), error)
}

/// The address as a browser on this machine can use it: the unspecified address cannot be visited.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
