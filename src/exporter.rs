//! The Prometheus endpoint: counters, and gauges read at each scrape, in the text format 0.0.4 or that of OpenMetrics 1.0.

mod text_format;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::Utc;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use rouille::input::priority_header_preferred;

use crate::http::{Application, Observer, Refusal, RefusedFields, Request, Responder, Response};
use crate::logging;
use crate::metrics::Metrics;
use crate::resources::Registry as HelpLines;
use crate::store::Store;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `GET /metrics`.
pub struct Exporter {
    registry: Registry,
    metrics: Arc<Metrics>,
    gauges: Gauges,
    server: Observer,
    store: Arc<Store>,
    help_lines: Arc<HelpLines>,
    help_lines_max_age_days: u32,
}

/// Set at each scrape.
struct Gauges {
    connections: Family<[(&'static str, &'static str); 1], Gauge>,
    in_flight: Gauge,
    queued: Gauge,
    answer_bytes: Gauge,
    max_answer_bytes: Gauge,
    pool_total: Gauge,
    pool_idle: Gauge,
    pool_max: Gauge,
    pool_waiting: Gauge,
    dropped_lines: Counter,
    storage_full: Gauge,
    storage_bytes: Family<[(&'static str, &'static str); 1], Gauge>,
    resources_unverified: Family<[(&'static str, String); 1], Gauge>,
}

impl Exporter {
    /// Exports the state of this server and this store, these metrics, and how many help lines are not verified.
    #[must_use]
    pub fn new(
        server: Observer,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        help_lines: Arc<HelpLines>,
        help_lines_max_age_days: u32,
    ) -> Exporter {
        let mut registry = Registry::with_prefix("safespace");
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        metrics.register(&mut registry);
        let to = &mut registry;
        let gauges = Gauges {
            connections: register(to, "http_connections", "Open connections, by what they are doing"),
            in_flight: register(to, "http_requests_in_flight", "Requests that are being answered"),
            queued: register(to, "http_queue_length", "Connections to be read or answered that wait for a worker"),
            answer_bytes: register(to, "http_answer_bytes", "Bytes of memory reserved for responses"),
            max_answer_bytes: register(to, "http_max_answer_bytes", "Bytes of memory that responses may reserve"),
            pool_total: register(to, "pool_connections", "Open connections to PostgreSQL"),
            pool_idle: register(to, "pool_idle_connections", "Idle connections to PostgreSQL"),
            pool_max: register(to, "pool_max_connections", "Connections there may be at most"),
            pool_waiting: register(to, "pool_waiting", "Batches that wait for a permit or a connection"),
            dropped_lines: register(to, "log_lines_dropped", "Log lines dropped because standard error was too slow"),
            storage_full: register(to, "storage_full", "Whether new sessions and messages are refused"),
            storage_bytes: register(to, "storage_bytes", "Room for the database, and its bounds"),
            resources_unverified: register(
                to,
                "resources_unverified",
                "Whether nobody verified a help line within RESOURCES_MAX_AGE (1) or somebody did (0)",
            ),
        };
        Exporter { registry, metrics, gauges, server, store, help_lines, help_lines_max_age_days }
    }

    fn update(&self) {
        let (gauges, server, pool) = (&self.gauges, self.server.state(), self.store.pool_state());
        for (state, count) in server.connections {
            gauges.connections.get_or_create(&[("state", state)]).set(whole(count));
            if state == "answering" {
                gauges.in_flight.set(whole(count));
            }
        }
        gauges.queued.set(whole(server.queued));
        gauges.answer_bytes.set(whole(server.answer_bytes));
        gauges.max_answer_bytes.set(whole(server.max_answer_bytes));
        self.metrics.refusals(Refusal::Busy.name(), server.refused_busy);
        self.metrics.refusals("peer_busy", server.refused_of_peers);
        gauges.pool_total.set(pool.total.into());
        gauges.pool_idle.set(pool.idle.into());
        gauges.pool_max.set(pool.max.into());
        gauges.pool_waiting.set(pool.waiting.into());
        self.update_storage();
        let today = Utc::now().date_naive();
        for help_line in &self.help_lines.resources {
            let is_verified = help_line.is_verified(self.help_lines_max_age_days, today);
            let label = [("resource", help_line.id.clone())];
            gauges.resources_unverified.get_or_create_owned(&label).set((!is_verified).into());
        }
        gauges.dropped_lines.inner().store(logging::dropped_lines(), Ordering::Relaxed);
    }

    /// A size that is not measured has no sample.
    fn update_storage(&self) {
        let (gauges, watermark) = (&self.gauges, &self.store.watermark);
        gauges.storage_full.set(watermark.is_full().into());
        let usage = watermark.usage();
        let sizes = [
            ("disk_free", usage.disk.map(|disk| disk.free)),
            ("disk_reserve", usage.disk.map(|disk| disk.reserve)),
            ("database", usage.database_bytes),
            ("database_max", usage.max_database_bytes),
        ];
        gauges.storage_bytes.clear();
        for (kind, bytes) in sizes {
            if let Some(bytes) = bytes {
                gauges.storage_bytes.get_or_create(&[("kind", kind)]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
    }
}

fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether `Accept` prefers OpenMetrics to the text format, which any program can read.
fn prefers_openmetrics(request: &Request) -> bool {
    let accepted = request.header("Accept").unwrap_or_default();
    priority_header_preferred(accepted, ["text/plain", "application/openmetrics-text"].into_iter()) == Some(1)
}

impl Application for Exporter {
    fn answer(&self, request: Request, responder: Responder) {
        if request.raw_url().split('?').next() != Some("/metrics") {
            return responder.respond(Response::text("There is only /metrics here.\n").with_status_code(404));
        }
        self.update();
        let mut text = String::new();
        let response = match text::encode(&mut text, &self.registry) {
            Ok(()) if prefers_openmetrics(&request) => Response::from_data(OPENMETRICS, text),
            Ok(()) => Response::from_data(text_format::MEDIA_TYPE, text_format::from_openmetrics(&text)),
            Err(_) => Response::text("The metrics cannot be written.\n").with_status_code(500),
        };
        responder.respond(response.with_additional_header("Vary", "Accept"));
    }

    fn refuse_head(&self, _: &Request) -> Option<Response> {
        None
    }

    fn refuse(&self, refusal: Refusal, _: &RefusedFields) -> Response {
        Response::text(format!("{refusal}\n")).with_status_code(refusal.status())
    }
}
