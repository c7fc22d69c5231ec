//! Probes of the database. Concurrent probes share one, so that each kind takes at most one connection of the pool.

use std::sync::Arc;
use std::time::Duration;

use super::batcher::{BatchPolicy, Batcher, Callback, max_blocked_callers};
use super::connection::Connection;
use super::error::Error;
use super::migrations;
use super::pool::Pool;
use crate::metrics::Metrics;

/// The wait for a permit and a connection, and then [`PROBE_TIMEOUT`], stay together below the 5 s that the API promises.
const MAX_WAIT: Duration = Duration::from_millis(1500);
const POLICY: BatchPolicy = BatchPolicy {
    max_in_flight: 1,
    max_items: usize::MAX,
    max_wait: MAX_WAIT,
    fails_fast: true,
    retry_individually: false,
};
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The probes that `/health/…` needs.
pub struct Health {
    probe: Batcher<(), ()>,
    schema_is_current: Batcher<(), bool>,
}

impl Health {
    pub(super) const MAX_BLOCKED_CALLERS: usize = 2 * max_blocked_callers(POLICY.max_in_flight);

    pub(super) fn new(pool: &Arc<Pool>, metrics: &Metrics) -> Health {
        Health {
            probe: Batcher::new(pool, probe, POLICY, metrics.batch_sizes("health/probe")),
            schema_is_current: Batcher::new(pool, schema_is_current, POLICY, metrics.batch_sizes("schema/version")),
        }
    }

    /// Checks that the database answers a trivial query.
    pub fn probe(&self, callback: Callback<()>) {
        self.probe.run((), callback);
    }

    /// Reads whether the schema is exactly the one this binary was built for.
    pub fn schema_is_current(&self, callback: Callback<bool>) {
        self.schema_is_current.run((), callback);
    }
}

fn probe(connection: &mut Connection, requests: &[()]) -> Result<Vec<()>, Error> {
    connection.probe(PROBE_TIMEOUT).map(|()| requests.to_vec())
}

fn schema_is_current(connection: &mut Connection, requests: &[()]) -> Result<Vec<bool>, Error> {
    Ok(vec![migrations::is_current(connection)?; requests.len()])
}
