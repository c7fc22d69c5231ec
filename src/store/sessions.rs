//! The table `sessions`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batcher, Done, Sharing};
use super::{Connection, Database, Error};
use crate::metrics::Metrics;
use crate::sealing::Lookup;

/// One batch of creates at a time: with two, a sixth fewer are created in the same time, since the batches are smaller.
const CREATING: usize = 1;

/// For what may have to wait for another's lock, or is over sooner than the next batch has gathered.
const OTHERS: usize = 2;

/// Little enough to take some milliseconds.
const MOST_ITEMS: usize = 1024;

/// The statements on sessions, shared by those who wait for them.
pub(super) struct Statements {
    create: Batcher<(Lookup, Vec<u8>), ()>,
    find: Batcher<Lookup, Option<Vec<u8>>>,
    delete: Batcher<Lookup, bool>,
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
pub fn create(database: &Database, session: Lookup, sealed: Vec<u8>, done: Done<()>) {
    database.sessions.create.run(database, (session, sealed), done);
}

fn create_all(connection: &mut Connection, sessions: &[(Lookup, Vec<u8>)]) -> Result<Vec<()>, Error> {
    // For one alone, planning the arrays would take a tenth of a millisecond.
    if let [(session, sealed)] = sessions {
        let statement = include_str!("../../sql/sessions/create.sql");
        connection.execute(statement, &[(session.expose(), Type::UUID), (sealed, Type::BYTEA)])?;
        return Ok(vec![()]);
    }
    let ids: Vec<&Uuid> = sessions.iter().map(|(session, _)| session.expose()).collect();
    let sealed: Vec<&[u8]> = sessions.iter().map(|(_, sealed)| sealed.as_slice()).collect();
    let statement = include_str!("../../sql/sessions/create_many.sql");
    connection.execute(statement, &[(&ids, Type::UUID_ARRAY), (&sealed, Type::BYTEA_ARRAY)])?;
    Ok(vec![(); sessions.len()])
}

/// Finds what is sealed in a session's row, or `None` where there is no such session.
pub fn find(database: &Database, session: Lookup, done: Done<Option<Vec<u8>>>) {
    database.sessions.find.run(database, session, done);
}

fn find_all(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
    let rows = connection.query(include_str!("../../sql/sessions/find.sql"), &[(&ids, Type::UUID_ARRAY)])?;
    let found: HashMap<Uuid, Vec<u8>> = rows.iter().map(|row| (row.get("id"), row.get("sealed"))).collect();
    Ok(ids.into_iter().map(|id| found.get(id).cloned()).collect())
}

/// Erases a session and all that belongs to it, and says whether it was there. Of several at once, one is told `true`.
pub fn delete(database: &Database, session: Lookup, done: Done<bool>) {
    database.sessions.delete.run(database, session, done);
}

fn delete_all(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<bool>, Error> {
    let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
    let rows = if let [id] = ids.as_slice() {
        connection.query(include_str!("../../sql/sessions/delete.sql"), &[(id, Type::UUID)])?
    } else {
        connection.query(include_str!("../../sql/sessions/delete_many.sql"), &[(&ids, Type::UUID_ARRAY)])?
    };
    let mut erased: HashSet<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    // Who asks twice is told once that it was there.
    Ok(ids.into_iter().map(|id| erased.remove(id)).collect())
}
