//! What is counted for the operator: by method, route pattern, status and the like, and never by anything of a session.

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

/// A request that was answered. Clients choose among these values and cannot add to them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Statement {
    statement: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Counters and histograms, filled as things happen. What can be looked up when it is asked for is in `exporter`.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    refusals: Family<Reason, Counter>,
    batches: Family<Statement, Histogram, fn() -> Histogram>,
    waits: Histogram,
    turns: Family<Outcome, Counter>,
    turn_durations: Histogram,
    turns_with_companion: Gauge,
    /// Sessions created.
    pub sessions_created: Counter,
    /// Sessions erased.
    pub sessions_deleted: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            refusals: Family::default(),
            batches: Family::new_with_constructor(|| Histogram::new(ITEMS)),
            waits: Histogram::new(SECONDS),
            turns: Family::default(),
            turn_durations: Histogram::new(SECONDS),
            turns_with_companion: Gauge::default(),
            sessions_created: Counter::default(),
            sessions_deleted: Counter::default(),
        }
    }
}

impl Metrics {
    /// Notes an answered request.
    pub fn request(&self, method: &'static str, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { method, route, status }).inc();
        self.durations.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }

    /// Notes a request that the server refused by itself.
    pub fn refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// Takes over how many requests the server has refused in all for a reason that it counts itself.
    pub fn refusals(&self, reason: &'static str, count: u64) {
        self.refusals.get_or_create(&Reason { reason }).inner().store(count, Ordering::Relaxed);
    }

    /// Notes how long a batch waited for its turn and its connection, whether it got them or not.
    pub fn wait(&self, waited: Duration) {
        self.waits.observe(waited.as_secs_f64());
    }

    /// Notes a turn that is over, and how.
    pub fn turn(&self, outcome: &'static str, took: Duration) {
        self.turns.get_or_create(&Outcome { outcome }).inc();
        self.turn_durations.observe(took.as_secs_f64());
    }

    /// Counts a turn as being with the companion until what it returns is dropped.
    #[must_use]
    pub fn turn_with_companion(&self) -> WithCompanion<'_> {
        self.turns_with_companion.inc();
        WithCompanion(&self.turns_with_companion)
    }

    /// The histogram of how many requests shared this statement each time.
    #[must_use]
    pub fn batch_sizes(&self, statement: &'static str) -> Histogram {
        self.batches.get_or_create_owned(&Statement { statement })
    }

    /// Makes all of them known under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests answered, by route pattern", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the complete request to its answer",
            self.durations.clone(),
        );
        registry.register("http_refusals", "Requests the server refused by itself", self.refusals.clone());
        registry.register("batch_items", "Requests that shared one statement", self.batches.clone());
        registry.register(
            "pool_wait_seconds",
            "Time a batch waited for its turn and its connection",
            self.waits.clone(),
        );
        registry.register("turns", "Turns that are over, by how they ended", self.turns.clone());
        registry.register(
            "turn_duration_seconds",
            "Time from the request to the end of its turn",
            self.turn_durations.clone(),
        );
        registry.register(
            "turns_with_companion",
            "Turns whose answer the companion is giving",
            self.turns_with_companion.clone(),
        );
        registry.register("sessions_created", "Sessions created", self.sessions_created.clone());
        registry.register("sessions_deleted", "Sessions erased", self.sessions_deleted.clone());
    }
}

/// A turn that is with the companion.
pub struct WithCompanion<'a>(&'a Gauge);

impl Drop for WithCompanion<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
