//! The Prometheus endpoint: counters, and gauges read at each scrape, in the text format of OpenMetrics 1.0.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::{Application, Observer, Refusal, Request, Responder, Response};
use crate::metrics::Metrics;
use crate::store::Store;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `GET /metrics`.
pub struct Exporter {
    registry: Registry,
    metrics: Arc<Metrics>,
    gauges: Gauges,
    server: Observer,
    store: Arc<Store>,
}

/// Read at each scrape.
#[derive(Default)]
struct Gauges {
    connections: Family<State, Gauge>,
    in_flight: Gauge,
    queued: Gauge,
    pool_total: Gauge,
    pool_idle: Gauge,
    pool_max: Gauge,
    pool_waiting: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

impl Exporter {
    /// Exports the state of this server and this store, and these metrics.
    #[must_use]
    pub fn new(server: Observer, store: Arc<Store>, metrics: Arc<Metrics>) -> Exporter {
        let mut registry = Registry::with_prefix("safespace");
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        metrics.register(&mut registry);
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        Exporter { registry, metrics, gauges, server, store }
    }

    /// Reads the state of the server and of the pool.
    fn update_gauges(&self) {
        let server = self.server.state();
        for (state, count) in server.connections {
            self.gauges.connections.get_or_create(&State { state }).set(whole(count));
            if state == "answering" {
                self.gauges.in_flight.set(whole(count));
            }
        }
        self.gauges.queued.set(whole(server.queued));
        self.metrics.refusals(Refusal::Busy.name(), server.refused_busy);
        let pool = self.store.pool_state();
        self.gauges.pool_total.set(pool.total.into());
        self.gauges.pool_idle.set(pool.idle.into());
        self.gauges.pool_max.set(pool.max.into());
        self.gauges.pool_waiting.set(pool.waiting.into());
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("http_connections", "Open connections, by what they are doing", self.connections.clone());
        registry.register("http_requests_in_flight", "Requests that are being answered", self.in_flight.clone());
        registry.register(
            "http_queue_length",
            "Connections to be read or answered that wait for a worker",
            self.queued.clone(),
        );
        registry.register("pool_connections", "Open connections to PostgreSQL", self.pool_total.clone());
        registry.register("pool_idle_connections", "Those that nobody uses", self.pool_idle.clone());
        registry.register("pool_max_connections", "Connections there may be at most", self.pool_max.clone());
        registry.register(
            "pool_waiting",
            "Batches that wait for their turn and a connection",
            self.pool_waiting.clone(),
        );
    }
}

impl Application for Exporter {
    fn answer(&self, request: Request, responder: Responder) {
        if request.raw_url().split('?').next() != Some("/metrics") {
            return responder.respond(Response::text("There is only /metrics here.\n").with_status_code(404));
        }
        self.update_gauges();
        let mut text = String::new();
        responder.respond(match text::encode(&mut text, &self.registry) {
            Ok(()) => Response::from_data(MEDIA_TYPE, text),
            Err(_) => Response::text("The metrics cannot be written.\n").with_status_code(500),
        });
    }

    fn refuse_head(&self, _: &Request) -> Option<Response> {
        None
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        Response::text(format!("{refusal}\n")).with_status_code(refusal.status())
    }
}
