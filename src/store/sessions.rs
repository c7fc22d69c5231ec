//! The table `sessions`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postgres::types::Type;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback, DEFAULT_MAX_IN_FLIGHT, max_blocked_callers};
use super::connection::Connection;
use super::erasing::{Erased, Erasing};
use super::error::Error;
use super::pool::Pool;
use crate::metrics::Metrics;
use crate::sealing::Lookup;

/// With two creating batches at once the batches are smaller, and throughput is a sixth lower.
const MAX_CREATES_IN_FLIGHT: usize = 1;

/// A batch of this size takes some milliseconds.
const MAX_ITEMS: usize = 1024;

/// The statements on sessions.
pub struct Sessions {
    create: Batcher<(Lookup, Vec<u8>), ()>,
    find: Batcher<Lookup, Option<Vec<u8>>>,
    erasing: Erasing,
    created: Counter,
    deleted: Counter,
}

impl Sessions {
    /// Erasing has threads of its own.
    pub(super) const MAX_BLOCKED_CALLERS: usize =
        max_blocked_callers(MAX_CREATES_IN_FLIGHT) + max_blocked_callers(DEFAULT_MAX_IN_FLIGHT);

    pub(super) fn new(pool: &Arc<Pool>, erasing: Erasing, max_wait: Duration, metrics: &Metrics) -> Sessions {
        let policy = BatchPolicy::new(MAX_ITEMS, max_wait);
        let create_policy = BatchPolicy { max_in_flight: MAX_CREATES_IN_FLIGHT, ..policy };
        Sessions {
            create: Batcher::new(pool, create, create_policy, metrics.batch_sizes("sessions/create")),
            find: Batcher::new(pool, find, policy, metrics.batch_sizes("sessions/find")),
            erasing,
            created: metrics.sessions_created.clone(),
            deleted: metrics.sessions_deleted.clone(),
        }
    }

    /// Stores a new session; it is durable when the callback is called.
    pub fn create(&self, session: Lookup, sealed: Vec<u8>, callback: Callback<()>) {
        // Counted here, since the client may be gone.
        let created = self.created.clone();
        let count = move |result: Result<(), Error>| {
            created.inc_by(result.is_ok().into());
            callback(result);
        };
        self.create.run((session, sealed), Box::new(count));
    }

    /// Reads the sealed bytes of a session; `None` if there is no such session.
    pub fn find(&self, session: Lookup, callback: Callback<Option<Vec<u8>>>) {
        self.find.run(session, callback);
    }

    /// Erases a session and everything that belongs to it. The result is `None` if the session did not exist; of several
    /// concurrent deletes of one session, exactly one gets `Some`.
    pub fn delete(&self, session: Lookup, callback: Callback<Option<Erased>>) {
        let deleted = self.deleted.clone();
        let count = move |erased: Result<Option<Erased>, Error>| {
            if let Ok(Some(_)) = erased {
                deleted.inc();
                log::info!("Session deleted");
            }
            callback(erased);
        };
        self.erasing.run(session, Box::new(count));
    }
}

fn create(connection: &mut Connection, sessions: &[(Lookup, Vec<u8>)]) -> Result<Vec<()>, Error> {
    // Planning the arrays takes a tenth of a millisecond, which a single session does not need.
    if let [(session, sealed)] = sessions {
        let statement = include_str!("../../sql/sessions/create.sql");
        connection.query(statement, &[(session.expose(), Type::UUID), (sealed, Type::BYTEA)])?;
    } else {
        let (ids, sealed): (Vec<&Uuid>, Vec<&[u8]>) =
            sessions.iter().map(|(session, sealed)| (session.expose(), sealed.as_slice())).unzip();
        let statement = include_str!("../../sql/sessions/create_many.sql");
        connection.query(statement, &[(&ids, Type::UUID_ARRAY), (&sealed, Type::BYTEA_ARRAY)])?;
    }
    Ok(vec![(); sessions.len()])
}

fn find(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
    let rows = connection.query(include_str!("../../sql/sessions/find.sql"), &[(&ids, Type::UUID_ARRAY)])?;
    let found: HashMap<Uuid, Vec<u8>> = rows.iter().map(|row| (row.get("id"), row.get("sealed"))).collect();
    Ok(ids.into_iter().map(|id| found.get(id).cloned()).collect())
}
