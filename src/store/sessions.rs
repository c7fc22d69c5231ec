//! The table `sessions`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batcher, Done, Sharing};
use super::{Connection, Database, Error};
use crate::metrics::Metrics;
use crate::session_id::SessionId;

/// One batch of creates at a time: with two, a sixth fewer are created in the same time, since the batches are smaller.
const CREATING: usize = 1;

/// For what may have to wait for another's lock, or is over sooner than the next batch has gathered.
const OTHERS: usize = 2;

/// Little enough to take some milliseconds.
const MOST_ITEMS: usize = 1024;

/// The statements on sessions, shared by those who wait for them.
pub(super) struct Statements {
    create: Batcher<(SessionId, DateTime<Utc>), ()>,
    find: Batcher<SessionId, Option<DateTime<Utc>>>,
    delete: Batcher<SessionId, bool>,
}

impl Statements {
    pub(super) fn new(most_wait: Duration, metrics: &Metrics) -> Statements {
        let sharing = Sharing { most_running: OTHERS, most_items: MOST_ITEMS, most_wait, items_differ: true };
        Statements {
            create: Batcher::new(
                create_all,
                Sharing { most_running: CREATING, ..sharing },
                metrics.batch_sizes("sessions/create"),
            ),
            find: Batcher::new(find_all, sharing, metrics.batch_sizes("sessions/find")),
            delete: Batcher::new(delete_all, sharing, metrics.batch_sizes("sessions/delete")),
        }
    }
}

/// Stores a new session; when that is done, it is durable.
pub fn create(database: &Database, id: SessionId, created_at: DateTime<Utc>, done: Done<()>) {
    database.sessions.create.run(database, (id, created_at), done);
}

fn create_all(connection: &mut Connection, sessions: &[(SessionId, DateTime<Utc>)]) -> Result<Vec<()>, Error> {
    // For one alone, planning the arrays would take a tenth of a millisecond.
    if let [(id, created_at)] = sessions {
        let statement = include_str!("../../sql/sessions/create.sql");
        connection.execute(statement, &[(id.expose(), Type::UUID), (created_at, Type::TIMESTAMPTZ)])?;
        return Ok(vec![()]);
    }
    let ids: Vec<&Uuid> = sessions.iter().map(|(id, _)| id.expose()).collect();
    let times: Vec<&DateTime<Utc>> = sessions.iter().map(|(_, created_at)| created_at).collect();
    let statement = include_str!("../../sql/sessions/create_many.sql");
    connection.execute(statement, &[(&ids, Type::UUID_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)])?;
    Ok(vec![(); sessions.len()])
}

/// Says when a session was created, or `None` where there is no such session.
pub fn find(database: &Database, id: SessionId, done: Done<Option<DateTime<Utc>>>) {
    database.sessions.find.run(database, id, done);
}

fn find_all(connection: &mut Connection, ids: &[SessionId]) -> Result<Vec<Option<DateTime<Utc>>>, Error> {
    let ids: Vec<&Uuid> = ids.iter().map(SessionId::expose).collect();
    let rows = connection.query(include_str!("../../sql/sessions/find.sql"), &[(&ids, Type::UUID_ARRAY)])?;
    let found: HashMap<Uuid, DateTime<Utc>> = rows.iter().map(|row| (row.get("id"), row.get("created_at"))).collect();
    Ok(ids.into_iter().map(|id| found.get(id).copied()).collect())
}

/// Erases a session and all that belongs to it, and says whether it was there. Of several at once, one is told `true`.
pub fn delete(database: &Database, id: SessionId, done: Done<bool>) {
    database.sessions.delete.run(database, id, done);
}

fn delete_all(connection: &mut Connection, ids: &[SessionId]) -> Result<Vec<bool>, Error> {
    let ids: Vec<&Uuid> = ids.iter().map(SessionId::expose).collect();
    let rows = connection.query(include_str!("../../sql/sessions/delete.sql"), &[(&ids, Type::UUID_ARRAY)])?;
    let mut erased: HashSet<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    // Who asks twice is told once that it was there.
    Ok(ids.into_iter().map(|id| erased.remove(id)).collect())
}
