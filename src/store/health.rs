//! Signs of life of the database, asked for once for all who wait for one: however many probe, each of these takes one
//! connection at most.

use std::time::Duration;

use super::batch::{Batcher, Done, Sharing};
use super::{Connection, Database, Error, migrations};
use crate::metrics::Metrics;

/// What a probe may wait for its turn and a connection, and then for an answer: together within the contract's 5 s.
const SHARING: Sharing =
    Sharing { most_running: 1, most_items: usize::MAX, most_wait: Duration::from_millis(1500), items_differ: false };
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// The questions, shared by those who ask.
pub(super) struct Statements {
    probe: Batcher<(), ()>,
    is_current: Batcher<(), bool>,
}

impl Statements {
    pub(super) fn new(metrics: &Metrics) -> Statements {
        Statements {
            probe: Batcher::new(probe_once, SHARING, metrics.batch_sizes("health/probe")),
            is_current: Batcher::new(is_current_once, SHARING, metrics.batch_sizes("schema/version")),
        }
    }
}

/// Asks the database for a sign of life.
pub fn probe(database: &Database, done: Done<()>) {
    database.health.probe.run(database, (), done);
}

fn probe_once(connection: &mut Connection, all: &[()]) -> Result<Vec<()>, Error> {
    connection.probe(PROBE_LIMIT)?;
    Ok(all.to_vec())
}

/// Asks whether the database has exactly the schema this binary was built for.
pub fn is_current(database: &Database, done: Done<bool>) {
    database.health.is_current.run(database, (), done);
}

fn is_current_once(connection: &mut Connection, all: &[()]) -> Result<Vec<bool>, Error> {
    let is_current = migrations::is_current(connection)?;
    Ok(vec![is_current; all.len()])
}
