//! Pages of a conversation as the store reads them: positions, and rows in steps of a bounded size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::Client;
use safespace::app;
use safespace::config::{Config, Database};
use safespace::metrics::Metrics;
use safespace::sealing::Lookup;
use safespace::session_id::SessionId;
use safespace::store::{self, Connector, MAX_READ_BYTES, Page, PageRequest, Row, Store};
use uuid::Uuid;

use crate::support::app::configure;
use crate::support::cluster::Schema;

struct Fixture {
    store: Store,
    sql: Client,
    session: Lookup,
    _schema: Schema,
}

impl Fixture {
    /// A session whose messages have these lengths.
    fn new(lengths: &[usize]) -> Fixture {
        let schema = Schema::new();
        let config: Config = configure(&schema.url(), &[]);
        app::migrate(&config, &std::sync::atomic::AtomicBool::new(false)).unwrap();
        let Database::Server(server) = &config.database else { panic!("not a server") };
        let connector = Connector::new(server, &config.pool, Duration::from_secs(10)).unwrap();
        let store =
            Store::open(&connector, &config.pool, config.retention, Arc::default(), &Arc::new(Metrics::default()));
        let (mut sql, session) = (schema.client(), SessionId::random().lookup());
        sql.execute("INSERT INTO sessions VALUES ($1, '')", &[session.expose()]).unwrap();
        let mut total_bytes = 0;
        for (index, length) in lengths.iter().enumerate() {
            total_bytes += *length as i64;
            let values: [&(dyn postgres::types::ToSql + Sync); 5] =
                [session.expose(), &(index as i32 + 1), &Uuid::new_v4(), &vec![0_u8; *length], &total_bytes];
            sql.execute("INSERT INTO messages VALUES ($1, $2, $3, $4, $5)", &values).unwrap();
        }
        Fixture { store, sql, session, _schema: schema }
    }

    fn page(&self, before: Option<Uuid>, limit: i32) -> Option<Page> {
        let request = PageRequest { before, limit };
        wait(|callback| self.store.messages.page(self.session, request, callback))
    }

    fn read(&self, from: i32, to: i32) -> Vec<i32> {
        positions(&wait(|callback| self.store.messages.read(self.session, from, to, callback)))
    }

    fn id(&mut self, position: i32) -> Uuid {
        self.sql.query_one("SELECT id FROM messages WHERE position = $1", &[&position]).unwrap().get(0)
    }
}

fn wait<T: Send + 'static>(start: impl FnOnce(store::Callback<T>)) -> T {
    store::wait(Instant::now() + Duration::from_secs(10), start).unwrap()
}

fn positions(rows: &[Row]) -> Vec<i32> {
    rows.iter().map(|row| row.position).collect()
}

/// Whether the end exists, the first and the last position, and the positions of the rows.
fn summary(page: &Page) -> (bool, i32, i32, Vec<i32>) {
    (page.before_exists, page.first, page.last, positions(&page.rows))
}

#[test]
fn a_page_has_its_positions_whatever_is_read_of_it() {
    let mut fixture = Fixture::new(&[297; 10]);
    let (fifth, first) = (fixture.id(5), fixture.id(1));
    for (before, limit, expected) in [
        (None, 3, (true, 8, 10, vec![8, 9, 10])),
        (None, i32::MAX, (true, 1, 10, (1..=10).collect())),
        (None, 10, (true, 1, 10, (1..=10).collect())),
        (Some(fifth), 3, (true, 2, 4, vec![2, 3, 4])),
        (Some(fifth), 100, (true, 1, 4, vec![1, 2, 3, 4])),
        (Some(first), 3, (true, 1, 0, vec![])),
        // No row at all, to learn whether there is a page.
        (None, 0, (true, 11, 10, vec![])),
        (Some(fifth), 0, (true, 5, 4, vec![])),
    ] {
        let page = fixture.page(before, limit).unwrap();
        assert_eq!(summary(&page), expected, "{limit} before {before:?}");
    }
    let unknown = fixture.page(Some(Uuid::new_v4()), 3).unwrap();
    assert!(!unknown.before_exists && unknown.rows.is_empty());
}

#[test]
fn a_page_of_an_empty_session_is_empty_and_of_an_unknown_session_there_is_none() {
    let mut fixture = Fixture::new(&[]);
    assert_eq!(summary(&fixture.page(None, 5).unwrap()), (true, 1, 0, vec![]));
    assert!(fixture.read(1, 10).is_empty());
    fixture.sql.execute("DELETE FROM sessions", &[]).unwrap();
    assert!(fixture.page(None, 5).is_none());
    assert!(fixture.read(1, 10).is_empty());
}

#[test]
fn a_read_ends_at_its_bytes_and_the_next_one_goes_on() {
    let half = MAX_READ_BYTES / 2;
    let lengths = [half, half, 1, 2 * MAX_READ_BYTES, 297, half, half + 1, 297];
    let mut fixture = Fixture::new(&lengths);
    // A page is read from its end.
    let page = fixture.page(None, i32::MAX).unwrap();
    assert_eq!(summary(&page), (true, 1, 8, vec![7, 8]));
    let total: usize = lengths.iter().sum();
    let totals: Vec<i64> = page.rows.iter().map(|row| row.total_bytes).collect();
    assert_eq!(totals, [total as i64 - 297, total as i64]);
    for (before, limit, first, expected) in [(5, 3, 2, vec![4]), (4, 3, 1, vec![2, 3]), (7, i32::MAX, 1, vec![5, 6])] {
        let before_id = fixture.id(before);
        let page = fixture.page(Some(before_id), limit).unwrap();
        assert_eq!(summary(&page), (true, first, before - 1, expected));
    }
    // A message that is too long for any read comes alone.
    for (from, to, expected) in [
        (1, 8, vec![1, 2]),
        (3, 8, vec![3]),
        (4, 8, vec![4]),
        (5, 8, vec![5, 6]),
        (7, 8, vec![7, 8]),
        (1, 1, vec![1]),
        (8, 100, vec![8]),
        (9, 100, vec![]),
        (5, 4, vec![]),
    ] {
        assert_eq!(fixture.read(from, to), expected, "{from} to {to}");
    }
}

#[test]
fn a_read_of_short_messages_is_bounded_too() {
    let fixture = Fixture::new(&[297; 300]);
    let per_read = MAX_READ_BYTES / 297;
    assert_eq!(fixture.read(1, 300).len(), per_read);
    assert_eq!(fixture.page(None, 300).unwrap().rows.len(), per_read);
}
