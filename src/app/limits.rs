//! The limits of the HTTP server: as configured, and as far as the process has descriptors.

use crate::companion;
use crate::config::{self, Config};
use crate::http::{self, Limits};
use crate::store::Store;

/// Descriptors of everything else: the log, the private PostgreSQL, signals, the poller, clients that scrape the metrics.
const OTHER_DESCRIPTORS: usize = 160;

/// Fewer connections than this are of no use, whatever the limit on descriptors.
const MIN_CONNECTIONS: usize = 16;

// The configuration allows as many header fields as the parser has room for.
const _: () = assert!(config::MAX_HEAD_FIELDS == http::MAX_FIELDS);

/// What the operator should know although the service can start.
#[must_use]
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    let (workers, max_blocked) = (config.http.workers, Store::MAX_BLOCKED_CALLERS);
    if workers <= max_blocked {
        warnings.push(format!(
            "APP_WORKERS is {workers} and should be more than {max_blocked}: a database that hangs can block that many \
             workers, and none is left to answer"
        ));
    }
    warnings
}

/// The limits of the server. It accepts no more connections than there are descriptors for: a client can be refused, while a
/// database that cannot be reached for want of a descriptor fails every client.
pub(super) fn of_server(config: &Config) -> Limits {
    let mut limits = configured(&config.http);
    let descriptors = http::raise_limit().unwrap_or_else(|error| {
        log::warn!(error:%; "The limit on open descriptors is not known");
        u64::MAX
    });
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let needed = limits.extra_descriptors()
        + Store::max_descriptors(&config.pool)
        + companion::max_descriptors(&config.companion)
        + OTHER_DESCRIPTORS;
    let room = descriptors.saturating_sub(needed).max(MIN_CONNECTIONS);
    if room < limits.max_connections {
        log::warn!(descriptors, connections = room; "The limit on open descriptors allows fewer than APP_MAX_CONNECTIONS");
    }
    limits.max_connections = limits.max_connections.min(room);
    limits
}

fn configured(settings: &config::HttpSettings) -> Limits {
    Limits {
        workers: settings.workers,
        max_request_line_bytes: settings.max_request_line_bytes,
        max_head_bytes: settings.max_head_bytes,
        max_head_fields: settings.max_head_fields,
        max_body_bytes: settings.max_body_bytes,
        max_connections: settings.max_connections,
        max_queued: settings.max_queued,
        head_timeout: settings.head_timeout,
        body_timeout: settings.body_timeout,
        idle_timeout: settings.idle_timeout,
        write_timeout: settings.write_timeout,
        request_timeout: settings.request_timeout,
    }
}
