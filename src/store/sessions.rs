//! The table `sessions`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use postgres::types::Type;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback, DEFAULT_MAX_IN_FLIGHT, leaders, max_blocked_callers};
use super::connection::Connection;
use super::erasing::{self, Caller, Erased, Erasing};
use super::error::Error;
use super::pool::Pool;
use super::rows::{StoredSession, read_row, read_session};
use super::statements::Parameter;
use crate::config::PoolSettings;
use crate::metrics::Metrics;
use crate::sealing::Lookup;
use crate::sync::ThreadPool;

/// With two creating batches at once the batches are smaller, and throughput is a sixth lower.
const MAX_CREATES_IN_FLIGHT: usize = 1;

/// A batch of this size takes some milliseconds.
const MAX_ITEMS: usize = 1024;

/// A new session.
pub struct NewSession {
    /// Its time of creation, sealed.
    pub sealed: Vec<u8>,
    /// Its own idle timeout; `None` for the operator's.
    pub idle_timeout_seconds: Option<i32>,
}

/// The statements on sessions.
pub struct Sessions {
    create: Batcher<(Lookup, NewSession), ()>,
    find: Batcher<Lookup, Option<StoredSession>>,
    touch: Batcher<Lookup, ()>,
    set_idle_timeout: Arc<Batcher<(Lookup, Option<i32>), bool>>,
    set_leaders: ThreadPool,
    erasing: Erasing,
    created: Counter,
    deleted: Counter,
}

impl Sessions {
    /// The batches of `set_idle_timeout` have threads of their own; turns call `touch` on theirs.
    pub(super) const MAX_BLOCKED_CALLERS: usize = max_blocked_callers(MAX_CREATES_IN_FLIGHT)
        + max_blocked_callers(DEFAULT_MAX_IN_FLIGHT)
        + erasing::MAX_BLOCKED_CALLERS;

    pub(super) fn new(pool: &Arc<Pool>, erasing: Erasing, settings: &PoolSettings, metrics: &Metrics) -> Sessions {
        let policy = BatchPolicy::new(MAX_ITEMS, settings);
        let create_policy = BatchPolicy { max_in_flight: MAX_CREATES_IN_FLIGHT, ..policy };
        let set_idle_timeout =
            Batcher::new(pool, set_idle_timeout, policy, metrics.batch_sizes("sessions/set_idle_timeout"));
        Sessions {
            create: Batcher::new(pool, create, create_policy, metrics.batch_sizes("sessions/create")),
            find: Batcher::new(pool, find, policy, metrics.batch_sizes("sessions/find")),
            touch: Batcher::new(pool, touch, policy, metrics.batch_sizes("sessions/touch")),
            set_idle_timeout: Arc::new(set_idle_timeout),
            set_leaders: leaders("idle-timeout", 1),
            erasing,
            created: metrics.sessions_created.clone(),
            deleted: metrics.sessions_deleted.clone(),
        }
    }

    /// When the write that has run for longest began.
    pub(super) fn oldest_write(&self) -> Option<Instant> {
        let batches = [self.create.oldest_began(), self.touch.oldest_began(), self.set_idle_timeout.oldest_began()];
        batches.into_iter().chain([self.erasing.oldest_began()]).flatten().min()
    }

    /// Stores a new session; it is durable when the callback is called.
    pub fn create(&self, session: Lookup, new: NewSession, callback: Callback<()>) {
        // Counted here, since the client may be gone.
        let created = self.created.clone();
        let count = move |result: Result<(), Error>| {
            created.inc_by(result.is_ok().into());
            callback(result);
        };
        self.create.run((session, new), Box::new(count));
    }

    /// Reads a session and its newest message; `None` if there is no such session.
    pub fn find(&self, session: Lookup, callback: Callback<Option<StoredSession>>) {
        self.find.run(session, callback);
    }

    /// Writes the hour of the session's last use, unless it is written; nothing if there is no such session.
    pub fn touch(&self, session: Lookup, callback: Callback<()>) {
        self.touch.run(session, callback);
    }

    /// Changes the session's own idle timeout; `None` for the operator's. The result is whether the session exists. Does not
    /// block the calling thread.
    pub fn set_idle_timeout(&self, session: Lookup, seconds: Option<i32>, callback: Callback<bool>) {
        self.set_idle_timeout.run_on(&self.set_leaders, (session, seconds), callback);
    }

    /// Erases a session and everything that belongs to it. The result is `None` if the session did not exist; of several
    /// concurrent deletes of one session, exactly one gets `Some`.
    pub fn delete(&self, session: Lookup, caller: Caller, callback: Callback<Option<Erased>>) {
        let deleted = self.deleted.clone();
        let count = move |erased: Result<Option<Erased>, Error>| {
            if let Ok(Some(_)) = erased {
                deleted.inc();
                log::info!("Session deleted");
            }
            callback(erased);
        };
        self.erasing.run(session, caller, Box::new(count));
    }
}

fn create(connection: &mut Connection, sessions: &[(Lookup, NewSession)]) -> Result<Vec<()>, Error> {
    // Planning the arrays takes a tenth of a millisecond, which a single session does not need.
    if let [(session, NewSession { sealed, idle_timeout_seconds })] = sessions {
        let statement = include_str!("../../sql/sessions/create.sql");
        let session = (session.expose() as _, Type::UUID);
        connection.query(statement, &[session, (sealed, Type::BYTEA), (idle_timeout_seconds, Type::INT4)])?;
    } else {
        let ids: Vec<&Uuid> = sessions.iter().map(|(session, _)| session.expose()).collect();
        let sealed: Vec<&[u8]> = sessions.iter().map(|(_, new)| new.sealed.as_slice()).collect();
        let seconds: Vec<Option<i32>> = sessions.iter().map(|(_, new)| new.idle_timeout_seconds).collect();
        let statement = include_str!("../../sql/sessions/create_many.sql");
        let [ids, sealed] = [(&ids as _, Type::UUID_ARRAY), (&sealed as _, Type::BYTEA_ARRAY)];
        connection.query(statement, &[ids, sealed, (&seconds, Type::INT4_ARRAY)])?;
    }
    Ok(vec![(); sessions.len()])
}

fn find(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<Option<StoredSession>>, Error> {
    let rows = if let [session] = sessions {
        connection.query(include_str!("../../sql/sessions/find.sql"), &[(session.expose(), Type::UUID)])?
    } else {
        let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
        connection.query(include_str!("../../sql/sessions/find_many.sql"), &[(&ids, Type::UUID_ARRAY)])?
    };
    let found: HashMap<Uuid, &postgres::Row> = rows.iter().map(|row| (row.get("id"), row)).collect();
    let read = |row: &&postgres::Row| read_session(row, read_row(row));
    Ok(sessions.iter().map(|session| found.get(session.expose()).map(read)).collect())
}

fn touch(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<()>, Error> {
    if let [session] = sessions {
        connection.query(include_str!("../../sql/sessions/touch.sql"), &[(session.expose(), Type::UUID)])?;
    } else {
        let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
        let statement = include_str!("../../sql/sessions/touch_many.sql");
        change(connection, &ids, statement, &[(&ids, Type::UUID_ARRAY)])?;
    }
    Ok(vec![(); sessions.len()])
}

fn set_idle_timeout(connection: &mut Connection, changes: &[(Lookup, Option<i32>)]) -> Result<Vec<bool>, Error> {
    if let [(session, seconds)] = changes {
        let statement = include_str!("../../sql/sessions/set_idle_timeout.sql");
        let rows = connection.query(statement, &[(session.expose(), Type::UUID), (seconds, Type::INT4)])?;
        return Ok(vec![!rows.is_empty()]);
    }
    // Of several changes of one session the last one holds.
    let wanted: BTreeMap<Lookup, Option<i32>> = changes.iter().copied().collect();
    let (ids, seconds): (Vec<&Uuid>, Vec<Option<i32>>) =
        wanted.iter().map(|(session, seconds)| (session.expose(), *seconds)).unzip();
    let statement = include_str!("../../sql/sessions/set_idle_timeout_many.sql");
    let rows = change(connection, &ids, statement, &[(&ids, Type::UUID_ARRAY), (&seconds, Type::INT4_ARRAY)])?;
    let changed: HashSet<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    Ok(changes.iter().map(|(session, _)| changed.contains(session.expose())).collect())
}

/// Locks sessions, then executes a statement that changes them.
fn change(
    connection: &mut Connection,
    ids: &[&Uuid],
    statement: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<postgres::Row>, Error> {
    let lock = include_str!("../../sql/sessions/lock_to_change_many.sql");
    connection.transaction(|transaction| {
        transaction.query(lock, &[(&ids, Type::UUID_ARRAY)])?;
        transaction.query(statement, parameters)
    })
}
