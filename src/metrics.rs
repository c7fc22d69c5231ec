//! Counters and histograms for the operator, by method, route pattern and status, and never by anything of a session.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds: from a request that waits for nothing to `APP_REQUEST_TIMEOUT`.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Upper bounds of the number of requests that share a statement.
const ITEMS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Labels of an answered request. All values come from lists in the program, so clients cannot add to them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: &'static str,
    status: u16,
}

/// The labels of a family, each a name and a value.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The metrics that events update. Gauges that are read at each scrape are in `exporter`.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    durations: Family<Labels<2>, Histogram, fn() -> Histogram>,
    refusals: Family<Labels<1>, Counter>,
    refused: Family<Labels<1>, Counter>,
    batches: Family<Labels<1>, Histogram, fn() -> Histogram>,
    waits: Histogram,
    turns: Family<Labels<1>, Counter>,
    turn_durations: Histogram,
    turns_with_companion: Gauge,
    safety: Family<Labels<1>, Counter>,
    /// Sessions created.
    pub sessions_created: Counter,
    /// Sessions erased.
    pub sessions_deleted: Counter,
    /// Sessions that ended and were swept.
    pub sessions_expired: Counter,
    /// Seconds since the end of the session that ended first and is not swept; 0 without any.
    pub retention_overdue: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let safety: Family<Labels<1>, Counter> = Family::default();
        for level in ["concern", "crisis"] {
            // Prometheus misses the first increment of a series that does not begin at zero.
            drop(safety.get_or_create(&[("level", level)]));
        }
        Metrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            refusals: Family::default(),
            refused: Family::default(),
            batches: Family::new_with_constructor(|| Histogram::new(ITEMS)),
            waits: Histogram::new(SECONDS),
            turns: Family::default(),
            turn_durations: Histogram::new(SECONDS),
            turns_with_companion: Gauge::default(),
            safety,
            sessions_created: Counter::default(),
            sessions_deleted: Counter::default(),
            sessions_expired: Counter::default(),
            retention_overdue: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts an answered request and its duration.
    pub fn request(&self, method: &'static str, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { method, route, status }).inc();
        self.durations.get_or_create(&[("method", method), ("route", route)]).observe(took.as_secs_f64());
    }

    /// Counts a request that the server refused by itself.
    pub fn refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// Sets the number of refusals since the start, for a reason that the server itself counts.
    pub fn refusals(&self, reason: &'static str, count: u64) {
        self.refusals.get_or_create(&[("reason", reason)]).inner().store(count, Ordering::Relaxed);
    }

    /// Counts a request that was refused to protect the service from abuse.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Observes how long a batch waited for its permit and its connection, whether it got them or not.
    pub fn wait(&self, waited: Duration) {
        self.waits.observe(waited.as_secs_f64());
    }

    /// Counts a turn that is over, by its outcome, and its duration.
    pub fn turn(&self, outcome: &'static str, took: Duration) {
        self.turns.get_or_create(&[("outcome", outcome)]).inc();
        self.turn_durations.observe(took.as_secs_f64());
    }

    /// Counts an answer with help lines, by the level of its question; nothing of the person or the session.
    pub fn safety(&self, level: &'static str) {
        self.safety.get_or_create(&[("level", level)]).inc();
    }

    /// Counts a turn as being with the companion until the guard is dropped.
    #[must_use]
    pub fn turn_with_companion(&self) -> WithCompanion<'_> {
        self.turns_with_companion.inc();
        WithCompanion(&self.turns_with_companion)
    }

    /// The histogram of the number of requests that shared an execution of this statement.
    #[must_use]
    pub fn batch_sizes(&self, statement: &'static str) -> Histogram {
        self.batches.get_or_create_owned(&[("statement", statement)])
    }

    /// Registers every metric under its name, without the prefix `safespace_`.
    pub fn register(&self, registry: &mut Registry) {
        let Metrics { requests, durations, refusals, refused, batches, waits, turns, turn_durations, .. } = self;
        registry.register("http_requests", "Requests answered, by route pattern", requests.clone());
        let help = "Time from the complete request to its answer";
        registry.register("http_request_duration_seconds", help, durations.clone());
        registry.register("http_refusals", "Requests the server refused by itself", refusals.clone());
        let help = "Requests refused to protect the service from abuse";
        registry.register("abuse_refusals", help, refused.clone());
        registry.register("batch_items", "Requests that shared one statement", batches.clone());
        let help = "Time a batch waited for its permit and its connection";
        registry.register("pool_wait_seconds", help, waits.clone());
        registry.register("turns", "Turns that are over, by how they ended", turns.clone());
        let help = "Time from the request to the end of its turn";
        registry.register("turn_duration_seconds", help, turn_durations.clone());
        let help = "Turns whose answer the companion is giving";
        registry.register("turns_with_companion", help, self.turns_with_companion.clone());
        let help = "Answers with help lines, by how urgent their question was";
        registry.register("safety", help, self.safety.clone());
        registry.register("sessions_created", "Sessions created", self.sessions_created.clone());
        registry.register("sessions_deleted", "Sessions erased", self.sessions_deleted.clone());
        let help = "Sessions that ended and were swept by this service";
        registry.register("sessions_expired", help, self.sessions_expired.clone());
        let help = "Time since the end of the session that ended first and is not swept";
        registry.register("retention_overdue_seconds", help, self.retention_overdue.clone());
    }
}

/// Counts a turn as being with the companion until it is dropped.
pub struct WithCompanion<'a>(&'a Gauge);

impl Drop for WithCompanion<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
