//! The log line and the metrics of a request. They name the route's pattern, never the path.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

use crate::metrics::Metrics;

/// What is counted and logged of a request, whatever its response is.
#[derive(Clone, Copy)]
pub(super) struct AccessLog {
    method: &'static str,
    route: &'static str,
    started: Instant,
}

impl AccessLog {
    /// Begins to measure a request. `route` is the pattern of its route.
    pub(super) fn start(method: &'static str, route: &'static str) -> AccessLog {
        AccessLog { method, route, started: Instant::now() }
    }

    /// Counts and logs the request with the status of its response and the cause of an internal error. Returns the
    /// request's id.
    pub(super) fn finish(self, metrics: &Metrics, status: u16, cause: Option<&str>) -> String {
        let AccessLog { method, route, started } = self;
        let took = started.elapsed();
        metrics.request(method, route, status, took);
        let request_id = new_request_id();
        let id = request_id.as_str();
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        if let Some(cause) = cause {
            log::error!(method, route, status, duration_ms, request_id = id, cause; "Request failed");
        } else {
            log::info!(method, route, status, duration_ms, request_id = id; "Request");
        }
        request_id
    }
}

/// A random id, known only to the log and to the client that receives the response.
pub(super) fn new_request_id() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
