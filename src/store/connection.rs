//! One connection: statements in one round trip, and an end that never holds up a request.

use std::thread;
use std::time::{Duration, Instant};

use postgres::types::{ToSql, Type};
use postgres::{Client, Row};

use super::Error;

/// A parameter of a statement and its type, which saves the round trip that asks PostgreSQL for it.
///
/// Built-in types only: for others the driver looks the type up with a named statement, which PgBouncer's transaction
/// mode does not carry.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection that answered this recently is taken to be alive.
const PROVEN_FOR: Duration = Duration::from_millis(500);

/// A connection to PostgreSQL, as the pool lends it.
pub struct Connection {
    /// `None` only while it is being dropped.
    client: Option<Client>,
    last_answer: Instant,
    suspect: bool,
}

impl Connection {
    pub(super) fn new(client: Client) -> Connection {
        Connection { client: Some(client), last_answer: Instant::now(), suspect: false }
    }

    /// Executes a statement and says how many rows it touched.
    ///
    /// # Errors
    /// As [`Error`] has them.
    pub fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64, Error> {
        let result = self.client().execute_typed(statement, parameters);
        self.note(result)
    }

    /// Executes a statement and returns its rows.
    ///
    /// # Errors
    /// As [`Error`] has them.
    pub fn query(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let result = self.client().query_typed(statement, parameters);
        self.note(result)
    }

    /// Asks PostgreSQL for a sign of life. A connection that does not give it in time is never used again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none comes within `deadline`.
    pub fn probe(&mut self, deadline: Duration) -> Result<(), Error> {
        let result = self.client().is_valid(deadline);
        self.suspect |= result.is_err();
        self.note(result).map_err(|_| Error::Unavailable)
    }

    /// Probes it unless it proved to be alive a moment ago: an idle connection may have lost its server long since,
    /// and the driver does not notice before it is used.
    pub(super) fn probe_if_stale(&mut self, deadline: Duration) -> Result<(), Error> {
        if self.last_answer.elapsed() < PROVEN_FOR { Ok(()) } else { self.probe(deadline) }
    }

    /// Whether it must not go back to the pool.
    pub(super) fn is_broken(&self) -> bool {
        // A handler that panicked may have left a statement half done.
        self.suspect || thread::panicking() || self.client.as_ref().is_none_or(Client::is_closed)
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("only Drop takes the client")
    }

    fn note<T>(&mut self, result: Result<T, postgres::Error>) -> Result<T, Error> {
        let result = result.map_err(Error::from);
        // After a failover an open connection may stay at a server that is no longer the one to write to.
        self.suspect |= matches!(result, Err(Error::Unavailable));
        self.last_answer = Instant::now();
        result
    }
}

impl Drop for Connection {
    /// Closes it in a thread of its own, since the driver waits without a limit for a server that may be gone
    /// (rust-postgres issue 755), and the pool drops connections on threads that serve requests.
    fn drop(&mut self) {
        let client = self.client.take();
        // Where there is no thread to be had, the closure is dropped right here, and the client with it.
        let _ = thread::Builder::new().name("db-close".to_owned()).spawn(move || drop(client));
    }
}
