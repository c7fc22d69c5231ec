//! Opens connections to PostgreSQL. Several hosts are tried in parallel, each begun a little after the one before and with a deadline of
//! its own, so that one that is frozen or unreachable delays nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;
use postgres::config::{LoadBalanceHosts, TargetSessionAttrs};
use uuid::Uuid;

use super::connect_error::ConnectError;
use super::fault::Fault;
use super::host::{Demands, Host, Timeouts};
use super::timelines::Timelines;
use super::tls;
use crate::config::{PoolSettings, Server, ServerHost};

/// The deadline of each of several hosts, unless the URL has a `connect_timeout`.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);

/// From the beginning of an attempt to that at the next host. A failure begins the next one at once.
const STAGGER: Duration = Duration::from_millis(250);

/// Until an idle connection is probed. Where another host can take over, a machine that is gone is noticed within [`MAX_SILENCE`]; a
/// single host may be back after a longer disturbance of the network.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_IDLE_OF_SEVERAL: Duration = Duration::from_secs(5);
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// A connection keeps the plans of foreign keys and of prepared statements. One that was made while a table was small would read the
/// whole table when it is large, until the next ANALYZE. Every statement finds its rows with an index, so no plan may do that. In large
/// tables the planner takes such a statement for a long one, and PostgreSQL would compile it each time: a second for a sweep that takes
/// a millisecond.
const PLANS: &str = "-c enable_seqscan=off -c jit=off";

/// The plan for any values is as good as one for those of a request, so it is made once. Citus plans most statements only with
/// their values.
const PLAN_ONCE: &str = "-c plan_cache_mode=force_generic_plan";

/// Opens connections to one PostgreSQL. Clones share what was found out about its hosts.
#[derive(Clone)]
pub struct Connector {
    hosts: Vec<Host>,
    demands: Demands,
    /// Whether each connection begins with a host at random.
    is_random: bool,
    host_timeout: Duration,
    /// The deadline of a connection, whatever the number of hosts.
    timeout: Duration,
    /// The Unix sockets among the hosts.
    sockets: Arc<[PathBuf]>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The host that gave the last connection.
    preferred: AtomicUsize,
    /// The fault for which PostgreSQL refused the last connection, if it did.
    refusal: Mutex<Option<Fault>>,
}

impl Connector {
    /// A connector for connections whose statements PostgreSQL cancels after `statement_timeout`.
    ///
    /// # Errors
    /// When the certificate authorities cannot be used.
    pub fn new(server: &Server, pool: &PoolSettings, statement_timeout: Duration) -> Result<Connector, ConnectError> {
        let options = format!(
            "{} {PLANS} {} -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
            server.connect.get_options().unwrap_or(""),
            if pool.is_distributed { "" } else { PLAN_ONCE },
            statement_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        let tls = tls::connector(server.ssl_mode, &server.authorities)
            .map_err(|error| ConnectError::Failed(format!("DB_SSLROOTCERT: {error}")))?;
        let hosts = server.hosts();
        let default = if hosts.len() > 1 { HOST_TIMEOUT.min(pool.connection_timeout) } else { pool.connection_timeout };
        let host_timeout = server.connect.get_connect_timeout().copied().unwrap_or(default);
        let (unacknowledged, keepalive_idle) = if hosts.len() > 1 {
            (MAX_SILENCE.min(pool.query_timeout), KEEPALIVE_IDLE_OF_SEVERAL)
        } else {
            (pool.query_timeout, KEEPALIVE_IDLE)
        };
        let timeouts = Timeouts { connect: host_timeout, unacknowledged, keepalive_idle };
        let writes = server.connect.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        let timelines = (hosts.len() > 1).then(Arc::<Timelines>::default);
        let new_host = |host| Host::new(server, host, hosts.len(), options.trim_start(), &tls, timeouts);
        Ok(Connector {
            hosts: hosts.iter().map(new_host).collect(),
            demands: Demands { writes, timelines },
            // The host that takes writes is preferred, where one must.
            is_random: !writes && server.connect.get_load_balance_hosts() == LoadBalanceHosts::Random,
            host_timeout,
            timeout: pool.connection_timeout.max(host_timeout),
            sockets: hosts.iter().filter_map(ServerHost::socket).collect(),
            shared: Arc::default(),
        })
    }

    /// The same, with another time after which PostgreSQL cancels a statement.
    pub(super) fn with_statement_timeout(self, timeout: Duration) -> Connector {
        self.with_option(&format!("-c statement_timeout={}", timeout.as_millis()))
    }

    /// The same, with one more option; the last one of several of a name counts.
    pub(super) fn with_option(mut self, option: &str) -> Connector {
        self.hosts = self.hosts.into_iter().map(|host| host.with_option(option)).collect();
        self
    }

    /// Opens a connection, with the host that gave the last one first.
    ///
    /// # Errors
    /// At the deadline, and with the error of the network, of TLS or of PostgreSQL; of several hosts, with all of them.
    pub fn connect(&self) -> Result<Client, ConnectError> {
        let result = self.connect_to_any();
        *self.shared.refusal.lock() = match &result {
            Err(ConnectError::Refused { fault, .. }) => Some(*fault),
            _ => None,
        };
        result
    }

    /// The Unix sockets that its connections may go through.
    pub(super) fn sockets(&self) -> &Arc<[PathBuf]> {
        &self.sockets
    }

    /// The fault for which PostgreSQL refused the last connection, if it did.
    pub(super) fn refusal(&self) -> Option<Fault> {
        *self.shared.refusal.lock()
    }

    /// Whether a connection may be one to a server that a newer one has replaced: it must not be used any more, and what a statement
    /// on it answers does not count.
    pub(super) fn is_outdated(&self, opened_at: Instant) -> bool {
        self.demands.timelines.as_ref().is_some_and(|timelines| timelines.is_outdated(opened_at))
    }

    /// The timelines and the hosts, where there are several.
    pub(super) fn watched(&self) -> Option<(&Arc<Timelines>, &[Host])> {
        self.demands.timelines.as_ref().map(|timelines| (timelines, self.hosts.as_slice()))
    }

    fn connect_to_any(&self) -> Result<Client, ConnectError> {
        let (sender, results) = mpsc::channel();
        let deadline = Instant::now() + self.timeout;
        let mut waiting = self.order();
        let mut next_at = Instant::now();
        let mut running: Vec<(usize, Instant)> = Vec::new();
        let mut failures = Vec::new();
        loop {
            let now = Instant::now();
            let late = running.extract_if(.., |(_, until)| *until <= now);
            failures.extend(late.map(|(number, _)| (number, ConnectError::TimedOut(self.host_timeout))));
            if (now >= next_at || running.is_empty())
                && now < deadline
                && let Some(number) = waiting.next()
            {
                let sender = sender.clone();
                let finish = move |result| _ = sender.send((number, result));
                match self.hosts[number].start(&self.demands, finish) {
                    Ok(()) => {
                        running.push((number, (now + self.host_timeout).min(deadline)));
                        next_at = now + STAGGER;
                    }
                    Err(error) => failures.push((number, error)),
                }
                continue;
            }
            let Some(first_end) = running.iter().map(|(_, until)| *until).min() else {
                return Err(self.combine(failures));
            };
            let wakes_at = if waiting.len() > 0 { first_end.min(next_at) } else { first_end };
            match results.recv_timeout(wakes_at.saturating_duration_since(now)) {
                Ok((number, Ok(client))) => {
                    self.shared.preferred.store(number, Ordering::Relaxed);
                    return Ok(client);
                }
                Ok((number, Err(error))) => {
                    running.retain(|(other, _)| *other != number);
                    failures.push((number, error));
                    next_at = now;
                }
                // This function has a sender too.
                Err(_) => {}
            }
        }
    }

    /// The numbers of the hosts, in the order in which they are tried.
    fn order(&self) -> impl ExactSizeIterator<Item = usize> + use<> {
        let count = self.hosts.len();
        let random = || usize::from(Uuid::new_v4().as_bytes()[0]) % count;
        let first = if self.is_random && count > 0 { random() } else { self.shared.preferred.load(Ordering::Relaxed) };
        (0..count).map(move |step| (first + step) % count)
    }

    /// The error of all hosts: what PostgreSQL refuses, if one of them does, since an operator can mend that.
    fn combine(&self, mut failures: Vec<(usize, ConnectError)>) -> ConnectError {
        if failures.len() == 1 {
            return failures.remove(0).1;
        }
        let refused = failures.iter().position(|(_, error)| matches!(error, ConnectError::Refused { .. }));
        if let Some(index) = refused {
            return failures.remove(index).1;
        }
        let texts = failures.iter().map(|(number, error)| format!("{}: {error}", self.hosts[*number].label));
        ConnectError::Failed(texts.collect::<Vec<_>>().join("; "))
    }
}

/// Closes a connection on a thread of its own: the driver waits for the server without a limit (rust-postgres issue 755).
pub(super) fn close(client: Client) {
    // If no thread can be spawned, the closure and the client are dropped here.
    let _ = thread::Builder::new().name("db-close".to_owned()).spawn(move || drop(client));
}
