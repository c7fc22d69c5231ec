//! The table `messages`: the conversations, sealed.

mod storing;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use postgres::types::Type;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback, DEFAULT_MAX_IN_FLIGHT, leaders, max_blocked_callers};
use super::connection::Connection;
use super::error::Error;
use super::pool::Pool;
use super::rows::{Row, StoredSession, read_row, read_session};
use crate::config::PoolSettings;
use crate::message::MIN_SEALED_BYTES;
use crate::metrics::Metrics;
use crate::sealing::Lookup;
use crate::sync::ThreadPool;
pub use storing::{Appended, Asked, Exchanged, NewExchange, NewQuestion};
use storing::{append, ask, ask_distributed, exchange};

/// A batch of this size takes some milliseconds.
const MAX_ITEMS: usize = 128;

/// Batches of turns that wait, of [`Messages::recent`] and [`Messages::exchange`] together: 4,096 messages, so that a slow database
/// fills no memory with them.
const MAX_OPEN_BATCHES: usize = 32;

/// Reads are large: each may have [`MAX_READ_BYTES`].
const MAX_READS: usize = 16;

/// Sealed bytes of one read, at most, unless its first message alone has more. As JSON they can take six times as many bytes.
pub const MAX_READ_BYTES: usize = 32 * 1024;

/// Which page of a conversation, going backwards.
#[derive(Clone, Copy)]
pub struct PageRequest {
    /// The page ends before this message; `None` for the newest page.
    pub before: Option<Uuid>,
    /// Maximum number of messages; 0 reads none.
    pub limit: i32,
}

/// A page of a conversation, and its last messages.
pub struct Page {
    /// The session.
    pub session: StoredSession,
    /// Whether the message [`PageRequest::before`] exists; true for the newest page. Otherwise there are no positions.
    pub before_exists: bool,
    /// Position of the first message of the page. Above 1, the conversation has messages before the page.
    pub first: i32,
    /// Position of its last message; below `first` where the page is empty.
    pub last: i32,
    /// The messages up to `last` that have [`MAX_READ_BYTES`] together, at least one unless the page is empty; the oldest first.
    /// [`Messages::read`] reads the others.
    pub rows: Vec<Row>,
}

/// A session and its newest messages.
pub struct Recent {
    /// The session.
    pub session: StoredSession,
    /// The messages, the oldest of them first.
    pub rows: Vec<Row>,
    /// Whether the session was last used in an earlier hour: [`super::Sessions::touch`] before another message is stored.
    pub is_stale: bool,
}

/// The statements on messages.
pub struct Messages {
    page: Arc<Batcher<(Lookup, PageRequest), Option<Page>>>,
    page_leaders: ThreadPool,
    read: Batcher<(Lookup, RangeInclusive<i32>), Vec<Row>>,
    recent: Arc<Batcher<(Lookup, usize, usize), Option<Recent>>>,
    find: Batcher<(Lookup, [Uuid; 2]), Vec<Row>>,
    ask: Batcher<NewQuestion, Asked>,
    append: Batcher<(Lookup, Row), Appended>,
    exchange: Arc<Batcher<NewExchange, Exchanged>>,
    /// Whether one statement can store both messages of a turn. Where the tables are distributed, it cannot.
    can_exchange: bool,
    /// Of `recent` and `exchange`.
    turn_leaders: Arc<ThreadPool>,
}

impl Messages {
    /// Workers lead the batches of `page` and `read`. Those of `recent` and `exchange`, and of `page_unblocked`, have leaders of
    /// their own, and turns call the other statements on their own threads.
    pub(super) const MAX_BLOCKED_CALLERS: usize = 2 * max_blocked_callers(DEFAULT_MAX_IN_FLIGHT);

    pub(super) fn new(pool: &Arc<Pool>, settings: &PoolSettings, metrics: &Metrics) -> Messages {
        let policy = BatchPolicy::new(MAX_ITEMS, settings);
        let read_policy = BatchPolicy { max_items: MAX_READS, ..policy };
        Messages {
            page: Arc::new(Batcher::new(pool, page, read_policy, metrics.batch_sizes("messages/page"))),
            page_leaders: leaders("pages", 1),
            read: Batcher::new(pool, read, read_policy, metrics.batch_sizes("messages/read")),
            recent: Arc::new(Batcher::new(pool, recent, policy, metrics.batch_sizes("messages/recent"))),
            find: Batcher::new(pool, find, policy, metrics.batch_sizes("messages/find")),
            ask: Batcher::new(
                pool,
                if settings.is_distributed { ask_distributed } else { ask },
                policy,
                metrics.batch_sizes("messages/ask"),
            ),
            append: Batcher::new(pool, append, policy, metrics.batch_sizes("messages/append")),
            exchange: Arc::new(Batcher::new(pool, exchange, policy, metrics.batch_sizes("messages/exchange"))),
            can_exchange: !settings.is_distributed,
            turn_leaders: Arc::new(leaders("turn-batch", 2)),
        }
    }

    /// When the write that has run for longest began.
    pub(super) fn oldest_write(&self) -> Option<Instant> {
        let writes = [self.ask.oldest_began(), self.append.oldest_began(), self.exchange.oldest_began()];
        writes.into_iter().flatten().min()
    }

    /// Reads which positions a page of a conversation has, and its last messages; `None` if there is no such session.
    pub fn page(&self, session: Lookup, request: PageRequest, callback: Callback<Option<Page>>) {
        self.page.run((session, request), callback);
    }

    /// The same, without blocking the calling thread.
    pub fn page_unblocked(&self, session: Lookup, request: PageRequest, callback: Callback<Option<Page>>) {
        self.page.run_on(&self.page_leaders, (session, request), callback);
    }

    /// Reads the messages at these positions, the oldest first, until they have [`MAX_READ_BYTES`]; at least one, if there is
    /// one. Empty if there is no such session.
    pub fn read(&self, session: Lookup, from: i32, to: i32, callback: Callback<Vec<Row>>) {
        self.read.run((session, from..=to), callback);
    }

    /// Reads a session and its newest messages, at most `max_messages`, until they have `max_bytes` sealed bytes together; at least one,
    /// if there is one. `None` if there is no such session. Does not block the calling thread.
    pub fn recent(&self, session: Lookup, max_messages: usize, max_bytes: usize, callback: Callback<Option<Recent>>) {
        self.recent.run_on(&self.turn_leaders, (session, max_messages, max_bytes), callback);
    }

    /// Reads those of the two messages of a turn that are stored.
    pub fn find(&self, session: Lookup, ids: [Uuid; 2], callback: Callback<Vec<Row>>) {
        self.find.run((session, ids), callback);
    }

    /// Takes the claim of a session for a turn and stores its question, if the session exists and its position is free.
    pub fn ask(&self, question: NewQuestion, callback: Callback<Asked>) {
        self.ask.run(question, callback);
    }

    /// Stores a message if its session exists and its position is free. It is durable when the callback is called.
    pub fn append(&self, session: Lookup, row: Row, callback: Callback<Appended>) {
        self.append.run((session, row), callback);
    }

    /// Whether so many turns wait for the database that no other should begin.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.recent.open_batches() + self.exchange.open_batches() >= MAX_OPEN_BATCHES
    }

    /// Whether [`Messages::exchange`] may be called.
    #[must_use]
    pub fn can_exchange(&self) -> bool {
        self.can_exchange
    }

    /// Stores a question and its answer, both or none, if the session exists, no other turn has its claim, and the position is
    /// free. Takes no claim. Both are durable when the callback is called. Does not block the calling thread, unless that leads
    /// a batch.
    pub fn exchange(&self, exchange: NewExchange, callback: Callback<Exchanged>) {
        self.exchange.run_from_callback(&self.turn_leaders, exchange, callback);
    }
}

fn page(connection: &mut Connection, requests: &[(Lookup, PageRequest)]) -> Result<Vec<Option<Page>>, Error> {
    let (max_rows, max_bytes) = bounds(MAX_READ_BYTES);
    let [max_bytes, max_rows] = [(&max_bytes as _, Type::INT8), (&max_rows as _, Type::INT4)];
    let rows = if let [(session, PageRequest { before, limit })] = requests {
        let [session, before] = [(session.expose() as _, Type::UUID), (before as _, Type::UUID)];
        let statement = include_str!("../../sql/messages/page.sql");
        connection.query(statement, &[session, before, (limit, Type::INT4), max_bytes, max_rows])?
    } else {
        let sessions: Vec<&Uuid> = requests.iter().map(|(session, _)| session.expose()).collect();
        let before: Vec<Option<Uuid>> = requests.iter().map(|(_, request)| request.before).collect();
        let limits: Vec<i32> = requests.iter().map(|(_, request)| request.limit).collect();
        let [sessions, before] = [(&sessions as _, Type::UUID_ARRAY), (&before as _, Type::UUID_ARRAY)];
        let statement = include_str!("../../sql/messages/page_many.sql");
        connection.query(statement, &[sessions, before, (&limits, Type::INT4_ARRAY), max_bytes, max_rows])?
    };
    let of_requests = by_request(rows, requests.len())?;
    Ok(of_requests.iter().map(|rows| read_page(rows)).collect())
}

/// The page in the rows of one request, of which the newest message comes first.
fn read_page(rows: &[postgres::Row]) -> Option<Page> {
    let row = rows.first()?;
    // NULL without the message `before`.
    let [first, last] = ["first", "last"].map(|column| row.get::<_, Option<i32>>(column).unwrap_or_default());
    let newest = row.get::<_, Option<i32>>("newest_position").map(|position| Row {
        position,
        id: row.get("newest_id"),
        sealed: row.get("newest_sealed"),
        total_bytes: row.get("newest_total_bytes"),
    });
    let messages = rows.iter().rev().filter_map(read_row).collect();
    let session = read_session(row, newest);
    Some(Page { session, before_exists: row.get("before_exists"), first, last, rows: messages })
}

fn read(connection: &mut Connection, requests: &[(Lookup, RangeInclusive<i32>)]) -> Result<Vec<Vec<Row>>, Error> {
    let (max_rows, max_bytes) = bounds(MAX_READ_BYTES);
    let [max_bytes, max_rows] = [(&max_bytes as _, Type::INT8), (&max_rows as _, Type::INT4)];
    let rows = if let [(session, positions)] = requests {
        let [first, last] = [positions.start(), positions.end()].map(|position| (position as _, Type::INT4));
        let statement = include_str!("../../sql/messages/read.sql");
        connection.query(statement, &[(session.expose(), Type::UUID), first, last, max_bytes, max_rows])?
    } else {
        let sessions: Vec<&Uuid> = requests.iter().map(|(session, _)| session.expose()).collect();
        let first: Vec<i32> = requests.iter().map(|(_, positions)| *positions.start()).collect();
        let last: Vec<i32> = requests.iter().map(|(_, positions)| *positions.end()).collect();
        let [first, last] = [&first, &last].map(|positions| (positions as _, Type::INT4_ARRAY));
        let statement = include_str!("../../sql/messages/read_many.sql");
        connection.query(statement, &[(&sessions, Type::UUID_ARRAY), first, last, max_bytes, max_rows])?
    };
    let of_requests = by_request(rows, requests.len())?;
    Ok(of_requests.iter().map(|rows| rows.iter().filter_map(read_row).collect()).collect())
}

/// The rows of each request of a batch. A batch of one has no column that tells the request; WITH ORDINALITY counts from 1.
fn by_request(rows: Vec<postgres::Row>, count: usize) -> Result<Vec<Vec<postgres::Row>>, Error> {
    if count == 1 {
        return Ok(vec![rows]);
    }
    let mut of_requests: Vec<Vec<postgres::Row>> = (0..count).map(|_| Vec::new()).collect();
    for row in rows {
        let index = usize::try_from(row.get::<_, i64>("request_number") - 1).map_err(|_| Error::Protocol)?;
        of_requests.get_mut(index).ok_or(Error::Protocol)?.push(row);
    }
    Ok(of_requests)
}

/// The maximum number of messages that fit into `max_bytes` sealed bytes, so that the statement reads no more rows, and
/// `max_bytes`, as parameters of a statement.
fn bounds(max_bytes: usize) -> (i32, i64) {
    let max_rows = max_bytes / MIN_SEALED_BYTES + 1;
    (i32::try_from(max_rows).unwrap_or(i32::MAX), i64::try_from(max_bytes).unwrap_or(i64::MAX))
}

fn recent(connection: &mut Connection, requests: &[(Lookup, usize, usize)]) -> Result<Vec<Option<Recent>>, Error> {
    // Every turn has the same companion, and so the same bounds.
    let max_messages = requests.iter().map(|(_, max_messages, _)| *max_messages).max().unwrap_or_default();
    let (max_rows, max_bytes) = bounds(requests.iter().map(|(.., max_bytes)| *max_bytes).max().unwrap_or_default());
    let max_rows = max_rows.min(i32::try_from(max_messages.max(1)).unwrap_or(i32::MAX));
    let [max_rows, max_bytes] = [(&max_rows as _, Type::INT4), (&max_bytes as _, Type::INT8)];
    let rows = if let [(session, ..)] = requests {
        // Planning the arrays takes longer than the rest of the statement.
        let statement = include_str!("../../sql/messages/recent.sql");
        connection.query(statement, &[(session.expose(), Type::UUID), max_rows, max_bytes])?
    } else {
        let sessions: Vec<&Uuid> = requests.iter().map(|(session, ..)| session.expose()).collect();
        let statement = include_str!("../../sql/messages/recent_many.sql");
        connection.query(statement, &[(&sessions, Type::UUID_ARRAY), max_rows, max_bytes])?
    };
    let mut found: HashMap<Uuid, Vec<&postgres::Row>> = HashMap::new();
    rows.iter().for_each(|row| found.entry(row.get("session_id")).or_default().push(row));
    let read = |of_session: &Vec<&postgres::Row>| {
        let rows: Vec<Row> = of_session.iter().filter_map(|row| read_row(row)).collect();
        let last = of_session.last()?;
        let session = read_session(last, rows.last().cloned());
        Some(Recent { session, rows, is_stale: last.get("is_stale") })
    };
    Ok(requests.iter().map(|(session, ..)| found.get(session.expose()).and_then(read)).collect())
}

fn find(connection: &mut Connection, turns: &[(Lookup, [Uuid; 2])]) -> Result<Vec<Vec<Row>>, Error> {
    let rows = if let [(session, [question, answer])] = turns {
        let parameters = [session.expose(), question, answer].map(|id| (id as _, Type::UUID));
        connection.query(include_str!("../../sql/messages/find.sql"), &parameters)?
    } else {
        let sessions: Vec<&Uuid> = turns.iter().map(|(session, _)| session.expose()).collect();
        let questions: Vec<&Uuid> = turns.iter().map(|(_, [question, _])| question).collect();
        let answers: Vec<&Uuid> = turns.iter().map(|(_, [_, answer])| answer).collect();
        let parameters = [&sessions, &questions, &answers].map(|ids| (ids as _, Type::UUID_ARRAY));
        connection.query(include_str!("../../sql/messages/find_many.sql"), &parameters)?
    };
    let found: HashMap<(Uuid, Uuid), &postgres::Row> =
        rows.iter().map(|row| ((row.get("session_id"), row.get("message_id")), row)).collect();
    let of_turn = |(session, ids): &(Lookup, [Uuid; 2])| {
        ids.iter().filter_map(|id| found.get(&(*session.expose(), *id))).filter_map(|row| read_row(row)).collect()
    };
    Ok(turns.iter().map(of_turn).collect())
}
