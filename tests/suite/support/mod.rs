//! What the tests are written with.

pub(crate) mod app;
pub(crate) mod batcher;
pub(crate) mod cluster;
pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod model_schema;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod talk;

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Variables of a configuration.
pub(crate) type Variables = HashMap<String, String>;

pub(crate) fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Tries until `attempt` gives something; the test fails when it does not within `limit`.
#[track_caller]
pub(crate) fn eventually<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "it did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until somebody waits for a lock on the table of sessions in this client's schema.
#[track_caller]
pub(crate) fn wait_for_lock(sql: &mut postgres::Client) {
    wait_for_locks(sql, 1);
}

/// Waits until so many connections wait for it.
#[track_caller]
pub(crate) fn wait_for_locks(sql: &mut postgres::Client, count: usize) {
    let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
    eventually(Duration::from_secs(5), || (sql.query(waiting, &[]).unwrap().len() == count).then_some(()));
}
