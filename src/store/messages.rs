//! The table `messages`: what was said in sessions, sealed.

use std::collections::HashMap;
use std::time::Duration;

use postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batcher, Done, Sharing};
use super::{Connection, Database, Error};
use crate::conversation::LEAST_SEALED_BYTES;
use crate::metrics::Metrics;
use crate::sealing::Lookup;

/// Batches at once: two, since the one may wait for another's lock, or is over sooner than the next has gathered.
const MOST_RUNNING: usize = 2;

/// Little enough to take some milliseconds.
const MOST_ITEMS: usize = 128;

/// Those who read a conversation may each be given megabytes.
const MOST_PAGES: usize = 16;

/// Sealed bytes that one reader is given, at most and about. As JSON they can be six times as many, which are in
/// memory until the client has taken them.
const MOST_PAGE_BYTES: usize = 1024 * 1024;

/// A message as it is stored.
pub struct Row {
    /// Its place in the conversation, from 1 without gaps.
    pub position: i32,
    /// Its id.
    pub id: Uuid,
    /// Everything else of it.
    pub sealed: Vec<u8>,
}

/// A page of a conversation, going backwards.
#[derive(Clone, Copy)]
pub struct Page {
    /// The messages before this one, or the newest.
    pub before: Option<Uuid>,
    /// At most so many.
    pub most: i32,
}

/// What is on a page.
pub struct Found {
    /// Whether there is a message [`Page::before`].
    pub is_before_known: bool,
    /// The messages, the oldest first.
    pub rows: Vec<Row>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Stored,
    /// There is no such session.
    NoSession,
    /// Another message has its position.
    Taken,
}

/// The statements on messages, shared by those who wait for them.
pub(super) struct Statements {
    page: Batcher<(Lookup, Page), Option<Found>>,
    recent: Batcher<(Lookup, usize), Vec<Row>>,
    find: Batcher<(Lookup, [Uuid; 2]), Vec<Row>>,
    append: Batcher<(Lookup, Row), Appended>,
}

impl Statements {
    pub(super) fn new(most_wait: Duration, metrics: &Metrics) -> Statements {
        let sharing = Sharing { most_running: MOST_RUNNING, most_items: MOST_ITEMS, most_wait, items_differ: true };
        let sizes = |statement| metrics.batch_sizes(statement);
        Statements {
            page: Batcher::new(page_all, Sharing { most_items: MOST_PAGES, ..sharing }, sizes("messages/page")),
            recent: Batcher::new(recent_all, sharing, sizes("messages/recent")),
            find: Batcher::new(find_all, sharing, sizes("messages/find")),
            append: Batcher::new(append_all, sharing, sizes("messages/append")),
        }
    }
}

/// Reads a page of a conversation, or `None` where there is no such session.
pub fn page(database: &Database, session: Lookup, page: Page, done: Done<Option<Found>>) {
    database.messages.page.run(database, (session, page), done);
}

fn page_all(connection: &mut Connection, readers: &[(Lookup, Page)]) -> Result<Vec<Option<Found>>, Error> {
    let sessions: Vec<&Uuid> = readers.iter().map(|(session, _)| session.expose()).collect();
    let before: Vec<Option<Uuid>> = readers.iter().map(|(_, page)| page.before).collect();
    let (most_rows, most_bytes) = room(MOST_PAGE_BYTES);
    let most: Vec<i32> = readers.iter().map(|(_, page)| page.most.min(most_rows)).collect();
    let rows = connection.query(
        include_str!("../../sql/messages/page.sql"),
        &[
            (&sessions, Type::UUID_ARRAY),
            (&before, Type::UUID_ARRAY),
            (&most, Type::INT4_ARRAY),
            (&most_bytes, Type::INT8),
        ],
    )?;
    let mut found: Vec<Option<Found>> = readers.iter().map(|_| None).collect();
    for row in rows {
        let place = usize::try_from(row.get::<_, i64>("place") - 1).map_err(|_| Error::Misunderstood)?;
        let found = found.get_mut(place).ok_or(Error::Misunderstood)?;
        let found = found.get_or_insert_with(|| Found { is_before_known: row.get("is_known"), rows: Vec::new() });
        if let Some(position) = row.get("position") {
            found.rows.push(Row { position, id: row.get("id"), sealed: row.get("sealed") });
        }
    }
    Ok(found)
}

/// How many messages there can be in so many sealed bytes, so that no more are looked at, and the bytes, for a statement.
fn room(bytes: usize) -> (i32, i64) {
    let rows = bytes / LEAST_SEALED_BYTES + 1;
    (i32::try_from(rows).unwrap_or(i32::MAX), i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Reads the newest messages of a session until they have so many sealed bytes together, the oldest first; none where
/// there is no such session.
pub fn recent(database: &Database, session: Lookup, most_bytes: usize, done: Done<Vec<Row>>) {
    database.messages.recent.run(database, (session, most_bytes), done);
}

fn recent_all(connection: &mut Connection, readers: &[(Lookup, usize)]) -> Result<Vec<Vec<Row>>, Error> {
    // All have the same companion, so one bound holds for all.
    let (most_rows, most_bytes) = room(readers.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default());
    let [rows, bytes] = [(&most_rows as _, Type::INT4), (&most_bytes as _, Type::INT8)];
    let rows = if let [(session, _)] = readers {
        // For one alone, planning the arrays would take longer than all the rest.
        let statement = include_str!("../../sql/messages/recent.sql");
        connection.query(statement, &[(session.expose(), Type::UUID), rows, bytes])?
    } else {
        let sessions: Vec<&Uuid> = readers.iter().map(|(session, _)| session.expose()).collect();
        let statement = include_str!("../../sql/messages/recent_many.sql");
        connection.query(statement, &[(&sessions, Type::UUID_ARRAY), rows, bytes])?
    };
    Ok(by_session(readers.iter().map(|(session, _)| *session), &rows))
}

/// Finds the two messages of a turn, those that are there.
pub fn find(database: &Database, session: Lookup, turn: [Uuid; 2], done: Done<Vec<Row>>) {
    database.messages.find.run(database, (session, turn), done);
}

fn find_all(connection: &mut Connection, turns: &[(Lookup, [Uuid; 2])]) -> Result<Vec<Vec<Row>>, Error> {
    let sessions: Vec<&Uuid> = turns.iter().map(|(session, _)| session.expose()).collect();
    let questions: Vec<&Uuid> = turns.iter().map(|(_, [question, _])| question).collect();
    let answers: Vec<&Uuid> = turns.iter().map(|(_, [_, answer])| answer).collect();
    let rows = connection.query(
        include_str!("../../sql/messages/find.sql"),
        &[(&sessions, Type::UUID_ARRAY), (&questions, Type::UUID_ARRAY), (&answers, Type::UUID_ARRAY)],
    )?;
    Ok(by_session(turns.iter().map(|(session, _)| *session), &rows))
}

/// Gives everybody the rows of their session. Who asks twice in one batch is given all that either asked for.
fn by_session(sessions: impl Iterator<Item = Lookup>, rows: &[postgres::Row]) -> Vec<Vec<Row>> {
    let mut found: HashMap<Uuid, Vec<&postgres::Row>> = HashMap::new();
    for row in rows {
        found.entry(row.get("session_id")).or_default().push(row);
    }
    let of = |row: &&postgres::Row| Row { position: row.get("position"), id: row.get("id"), sealed: row.get("sealed") };
    sessions.map(|session| found.get(session.expose()).into_iter().flatten().map(of).collect()).collect()
}

/// Stores a message, if its session is still there and its position free. When that is done, it is durable.
pub fn append(database: &Database, session: Lookup, row: Row, done: Done<Appended>) {
    database.messages.append.run(database, (session, row), done);
}

fn append_all(connection: &mut Connection, messages: &[(Lookup, Row)]) -> Result<Vec<Appended>, Error> {
    let rows = if let [(session, row)] = messages {
        connection.query(
            include_str!("../../sql/messages/append.sql"),
            &[
                (session.expose(), Type::UUID),
                (&row.position, Type::INT4),
                (&row.id, Type::UUID),
                (&row.sealed, Type::BYTEA),
            ],
        )?
    } else {
        append_many(connection, messages)?
    };
    let stored: HashMap<(Uuid, Uuid), bool> =
        rows.iter().map(|row| ((row.get("session_id"), row.get("id")), row.get("is_stored"))).collect();
    let become_of = |(session, row): &(Lookup, Row)| match stored.get(&(*session.expose(), row.id)) {
        Some(true) => Appended::Stored,
        Some(false) => Appended::Taken,
        None => Appended::NoSession,
    };
    Ok(messages.iter().map(become_of).collect())
}

fn append_many(connection: &mut Connection, messages: &[(Lookup, Row)]) -> Result<Vec<postgres::Row>, Error> {
    let sessions: Vec<&Uuid> = messages.iter().map(|(session, _)| session.expose()).collect();
    let positions: Vec<i32> = messages.iter().map(|(_, row)| row.position).collect();
    let ids: Vec<&Uuid> = messages.iter().map(|(_, row)| &row.id).collect();
    let sealed: Vec<&[u8]> = messages.iter().map(|(_, row)| row.sealed.as_slice()).collect();
    connection.query(
        include_str!("../../sql/messages/append_many.sql"),
        &[
            (&sessions, Type::UUID_ARRAY),
            (&positions, Type::INT4_ARRAY),
            (&ids, Type::UUID_ARRAY),
            (&sealed, Type::BYTEA_ARRAY),
        ],
    )
}
