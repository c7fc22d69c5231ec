//! One connection: statements in one round trip, probes, and a close that blocks no request.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, IsolationLevel, Row};

use super::connector::{self, Connector};
use super::error::Error;
use super::fault::{self, Fault};
use super::fault_monitor::FaultMonitor;
use super::statements::{Parameter, StatementMode, Statements};

/// A connection that answered within this time needs no probe.
const FRESH_FOR: Duration = Duration::from_millis(500);

/// A connection to PostgreSQL, owned by the pool.
pub(super) struct Connection {
    /// `None` only during drop.
    client: Option<Client>,
    statements: Statements,
    opened_at: Instant,
    last_answer: Instant,
    monitor: Arc<FaultMonitor>,
    /// Whether an error makes further use unsafe.
    suspect: bool,
}

impl Connection {
    /// A connection whose first round trip, the login, began at `opened_at`. `connector`: opened it.
    pub(super) fn new(
        client: Client,
        connector: &Connector,
        opened_at: Instant,
        monitor: Arc<FaultMonitor>,
    ) -> Connection {
        let statements = Statements::new(connector.sockets().clone());
        Connection { client: Some(client), statements, opened_at, last_answer: Instant::now(), monitor, suspect: false }
    }

    /// Executes a statement and returns its rows.
    pub(super) fn query(&mut self, text: &'static str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let (client, statements) = self.parts();
        let result = statements.query(client, text, parameters);
        self.finish(result)
    }

    /// How its statements are executed, once one has found that out.
    pub(super) fn known_statement_mode(&self) -> Option<StatementMode> {
        self.statements.known_mode()
    }

    /// How its statements are executed.
    pub(super) fn statement_mode(&mut self) -> Result<StatementMode, Error> {
        let (client, statements) = self.parts();
        let result = statements.mode(client);
        self.finish(result)
    }

    /// Executes statements in one transaction, which is rolled back if one of them fails.
    pub(super) fn transaction<T>(
        &mut self,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<T, postgres::Error>,
    ) -> Result<T, Error> {
        self.transaction_if(|transaction| Ok((true, run(transaction)?)))
    }

    /// The same, but the transaction is also rolled back if `run` returns false with its value.
    pub(super) fn transaction_if<T>(
        &mut self,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<(bool, T), postgres::Error>,
    ) -> Result<T, Error> {
        let (client, statements) = self.parts();
        // Each statement sees what was committed before it, whatever the default of the connection or of the database is.
        let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start();
        let result = transaction.and_then(|inner| {
            let mut transaction = Transaction { inner, statements };
            let (commits, value) = run(&mut transaction)?;
            if commits { transaction.inner.commit() } else { transaction.inner.rollback() }?;
            Ok(value)
        });
        self.finish(result)
    }

    /// Notes what the end of a statement says of the connection and of PostgreSQL.
    fn finish<T>(&mut self, result: Result<T, postgres::Error>) -> Result<T, Error> {
        self.last_answer = Instant::now();
        // What a server has executed after it was replaced will be lost.
        if self.monitor.is_replaced(self.opened_at) {
            self.suspect = true;
            return Err(Error::Unavailable);
        }
        result.map_err(|error| {
            self.suspect |= !error.as_db_error().is_some_and(fault::keeps_connection);
            self.monitor.statement_failed(&error);
            Error::from(error)
        })
    }

    /// Notes a fault that no statement has met yet.
    pub(super) fn report(&self, fault: Fault, sqlstate: &str, reason: &str) {
        self.monitor.statements_refused(fault, sqlstate, || reason.to_owned());
    }

    /// Executes an empty query. A connection that does not answer within `timeout` is never used again.
    pub(super) fn probe(&mut self, timeout: Duration) -> Result<(), Error> {
        let result = self.parts().0.is_valid(timeout);
        self.suspect |= result.is_err();
        self.last_answer = Instant::now();
        result.map_err(|_| Error::Unavailable)
    }

    /// Probes the connection unless it answered recently: the server of an idle connection may be gone, and the driver
    /// notices only on use. A connection with outdated settings is never used again.
    pub(super) fn probe_if_stale(&mut self, timeout: Duration) -> Result<(), Error> {
        if self.monitor.is_outdated(self.opened_at) {
            self.suspect = true;
            return Err(Error::Unavailable);
        }
        if self.last_answer.elapsed() < FRESH_FOR { Ok(()) } else { self.probe(timeout) }
    }

    /// Whether the pool must discard the connection.
    pub(super) fn is_broken(&self) -> bool {
        // A panic may have interrupted a statement.
        self.suspect || thread::panicking() || self.client.as_ref().is_none_or(Client::is_closed)
    }

    fn parts(&mut self) -> (&mut Client, &mut Statements) {
        (self.client.as_mut().expect("only Drop takes the client"), &mut self.statements)
    }
}

/// A transaction on a connection.
pub(super) struct Transaction<'a> {
    inner: postgres::Transaction<'a>,
    statements: &'a mut Statements,
}

impl Transaction<'_> {
    /// Executes a statement and returns its rows.
    pub(super) fn query(
        &mut self,
        text: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, postgres::Error> {
        self.statements.query(&mut self.inner, text, parameters)
    }
}

impl Drop for Connection {
    /// The pool drops connections on threads that serve requests.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            connector::close(client);
        }
    }
}
