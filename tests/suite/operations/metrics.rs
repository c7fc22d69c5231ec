//! The metrics port: its samples, and that no label or value comes from a session.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use safespace::app::App;

use crate::support::app::configure;
use crate::support::cluster::Schema;
use crate::support::http::Client;

/// A service with a metrics port.
struct MeteredApp {
    app: App,
    client: Client,
    metrics: Client,
    _schema: Schema,
}

impl MeteredApp {
    fn start() -> MeteredApp {
        let schema = Schema::new();
        let config = configure(&schema.url(), &[("METRICS_PORT", "0")]);
        let app = App::start(&config, &AtomicBool::new(false)).unwrap();
        let (client, metrics) = (Client::new(app.address()), Client::new(app.metrics_address().unwrap()));
        MeteredApp { app, client, metrics, _schema: schema }
    }

    fn text(&self) -> String {
        self.metrics.get("/metrics").assert_status(200).text()
    }

    /// Every sample by its name with labels.
    fn samples(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }
}

#[test]
fn requests_are_counted_by_method_route_pattern_and_status() {
    let service = MeteredApp::start();
    let session = service.client.post("/api/v1/sessions").assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    service.client.get(&path).assert_status(200);
    service.client.delete(&path).assert_status(204);
    service.client.delete(&path).assert_status(404);
    let samples = service.samples();
    let count = |method: &str, route: &str, status: &str| {
        samples[&format!("safespace_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}")]
    };
    assert_eq!(count("POST", "/api/v1/sessions", "201"), 1.0);
    assert_eq!(count("GET", "/api/v1/sessions/{session_id}", "200"), 1.0);
    assert_eq!(count("DELETE", "/api/v1/sessions/{session_id}", "204"), 1.0);
    assert_eq!(count("DELETE", "/api/v1/sessions/{session_id}", "404"), 1.0);
    let durations =
        "safespace_http_request_duration_seconds_count{method=\"DELETE\",route=\"/api/v1/sessions/{session_id}\"}";
    assert_eq!(samples[durations], 2.0);
    assert_eq!(samples["safespace_sessions_created_total"], 1.0);
    assert_eq!(samples["safespace_sessions_deleted_total"], 1.0);
    assert_eq!(samples["safespace_batch_items_sum{statement=\"sessions/delete\"}"], 2.0);
    assert!(samples["safespace_pool_wait_seconds_count"] >= 4.0);
    service.app.stop();
}

#[test]
fn server_and_pool_gauges_are_read_at_the_scrape() {
    let service = MeteredApp::start();
    service.client.get("/health/db").assert_status(200);
    let samples = service.samples();
    assert_eq!(samples["safespace_pool_max_connections"], 4.0);
    assert!(samples["safespace_pool_connections"] >= samples["safespace_pool_idle_connections"]);
    assert!(samples["safespace_pool_idle_connections"] >= 1.0);
    assert_eq!(samples["safespace_pool_waiting"], 0.0);
    assert_eq!(samples["safespace_http_connections{state=\"idle\"}"], 1.0);
    assert_eq!(samples["safespace_http_requests_in_flight"], 0.0);
    assert_eq!(samples["safespace_http_queue_length"], 0.0);
    assert_eq!(samples["safespace_http_refusals_total{reason=\"busy\"}"], 0.0);
    let version = format!("safespace_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(samples[&version], 1.0);
    service.app.stop();
}

#[test]
fn labels_come_from_fixed_lists_and_contain_no_id() {
    let service = MeteredApp::start();
    let session = service.client.post("/api/v1/sessions").assert_status(201).json();
    let id = session["session_id"].as_str().unwrap();
    service.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
    let series = |text: &str| text.lines().filter(|line| line.starts_with("safespace_http_")).count();
    let before = series(&service.text());
    for (method, path) in
        [("BREW", "/invented"), ("GET", "/invented"), ("GET", "/docs/invented"), ("GET", "/invented?again")]
    {
        service.client.send(method, path);
    }
    let text = service.text();
    assert!(!text.contains(id) && !text.contains(&id[..8]), "{text}");
    assert!(!text.contains("invented") && !text.contains("BREW"), "{text}");
    assert!(text.contains("route=\"none\"") && text.contains("method=\"OTHER\""), "{text}");
    // Further invented paths add no series.
    let after = series(&text);
    for number in 0..50 {
        service.client.get(&format!("/invented/{number}"));
    }
    assert_eq!(series(&service.text()), after);
    assert!(after > before);
    service.app.stop();
}

#[test]
fn refusals_are_counted_by_reason() {
    let service = MeteredApp::start();
    let mut raw = crate::support::raw::Raw::connect(service.app.address());
    assert_eq!(raw.ask(b"GET / HTTP/2.0\r\n\r\n").status, 505);
    assert_eq!(service.samples()["safespace_http_refusals_total{reason=\"version_unknown\"}"], 1.0);
    service.app.stop();
}

#[test]
fn only_metrics_are_served_and_only_with_a_metrics_port() {
    let service = MeteredApp::start();
    service.metrics.get("/").assert_status(404);
    service.metrics.get("/api/v1/sessions").assert_status(404);
    service.app.stop();
    let without = crate::support::app::TestApp::start();
    without.client.get("/metrics").assert_problem(404);
}

#[test]
fn metrics_have_the_format_that_accept_prefers_and_the_text_format_otherwise() {
    let service = MeteredApp::start();
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    // The first two are those of Prometheus 2 and 3.
    for (accept, expected) in [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            openmetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            openmetrics,
        ),
        ("application/openmetrics-text", openmetrics),
        ("text/plain; version=0.0.4", text),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", text),
        ("*/*", text),
        ("application/json", text),
    ] {
        let answer = service.metrics.get_as("/metrics", accept).assert_status(200);
        assert_eq!(answer.header("Content-Type"), Some(expected), "{accept}");
        assert_eq!(answer.text().ends_with("# EOF\n"), expected == openmetrics, "{accept}");
        assert_eq!(answer.header("Vary"), Some("Accept"));
    }
    service.app.stop();
}

#[test]
fn operations_md_documents_every_metric() {
    let service = MeteredApp::start();
    let operations = include_str!("../../../docs/operations.md");
    let text = service.text();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(operations.contains(&format!("`{name}")), "docs/operations.md lacks {name}");
    }
    service.app.stop();
}

#[test]
fn the_dashboard_queries_only_metrics_that_operations_md_documents() {
    let operations = include_str!("../../../docs/operations.md");
    let dashboard = include_str!("../../../docs/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let mut queries = 0;
    for target in dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let query = target["expr"].as_str().unwrap();
        let words = query.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        for metric in words.filter(|word| word.starts_with("safespace_")) {
            queries += 1;
            let name = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(operations.contains(&format!("| `{name}` |")), "{metric} in {query}");
        }
    }
    assert!(queries > 20, "{queries}");
}
