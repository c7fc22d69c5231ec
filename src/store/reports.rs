//! The table `reports`. A session has few of them, and they are rare beside messages, so each statement is executed alone, and
//! blocks its caller: a thread for reports, or one of a turn, never a worker.

use std::sync::Arc;
use std::time::Duration;

use postgres::types::Type;
use uuid::Uuid;

use super::connection::Transaction;
use super::error::Error;
use super::pool::{ConnectionSource, Pool};
use super::rows::{StoredSession, read_row, read_session};
use crate::sealing::Lookup;

/// Reports of a session.
pub const MAX_REPORTS: i32 = 20;

/// Which report of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportRef {
    /// Its position among those of the session, from 1. A deleted one leaves a gap, unless it was the newest.
    pub position: i32,
    /// Its id.
    pub id: Uuid,
}

/// A session, and where its reports are.
pub struct ReportList {
    /// The session.
    pub session: StoredSession,
    /// The reports, the newest first.
    pub places: Vec<ReportRef>,
}

/// The result of [`Reports::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportAppended {
    /// The report is durable.
    Stored,
    /// There is no such session.
    NoSession,
    /// Another report has this position, or the session has [`MAX_REPORTS`].
    NotStored,
}

/// The statements on reports.
pub struct Reports {
    pool: Arc<Pool>,
    max_wait: Duration,
}

impl Reports {
    pub(super) fn new(pool: &Arc<Pool>, max_wait: Duration) -> Reports {
        Reports { pool: pool.clone(), max_wait }
    }

    /// Reads a session and which reports it has; `None` if there is no such session.
    ///
    /// # Errors
    /// Those of the statement.
    pub fn list(&self, session: Lookup) -> Result<Option<ReportList>, Error> {
        let mut connection = self.pool.acquire(self.max_wait)?;
        let session = (session.expose() as _, Type::UUID);
        let rows = connection.query(include_str!("../../sql/reports/list.sql"), &[session])?;
        let place = |row: &postgres::Row| {
            Some(ReportRef { position: row.get::<_, Option<i32>>("report_position")?, id: row.get("report_id") })
        };
        let places = rows.iter().filter_map(place).collect();
        Ok(rows.first().map(|row| ReportList { session: read_session(row, read_row(row)), places }))
    }

    /// Reads the sealed bytes of a report; `None` if there is no such report.
    ///
    /// # Errors
    /// Those of the statement.
    pub fn find(&self, session: Lookup, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.pool.acquire(self.max_wait)?;
        let parameters = [(session.expose() as _, Type::UUID), (&id as _, Type::UUID)];
        let rows = connection.query(include_str!("../../sql/reports/find.sql"), &parameters)?;
        Ok(rows.first().map(|row| row.get("sealed")))
    }

    /// Stores a report and the time of that, both sealed. They are durable afterwards.
    ///
    /// # Errors
    /// Those of the statements.
    pub fn append(
        &self,
        session: Lookup,
        ReportRef { position, id }: ReportRef,
        sealed: &[u8],
        at: &[u8],
    ) -> Result<ReportAppended, Error> {
        self.change(session, Some(at), |transaction| {
            let [session, id] = [session.expose(), &id].map(|id| (id as _, Type::UUID));
            let [position, max] = [&position, &MAX_REPORTS].map(|number| (number as _, Type::INT4));
            let statement = include_str!("../../sql/reports/append.sql");
            let rows = transaction.query(statement, &[session, position, id, (&sealed, Type::BYTEA), max])?;
            Ok(!rows.is_empty())
        })
        .map(|is_stored| match is_stored {
            Some(true) => ReportAppended::Stored,
            Some(false) => ReportAppended::NotStored,
            None => ReportAppended::NoSession,
        })
    }

    /// Stores a report in the place of what was read of it, and the time of that, all sealed. They are durable afterwards.
    /// `false` where the report is not as it was read, or does not exist any more.
    ///
    /// # Errors
    /// Those of the statements.
    pub fn replace(&self, session: Lookup, id: Uuid, read: &[u8], sealed: &[u8], at: &[u8]) -> Result<bool, Error> {
        self.change(session, Some(at), |transaction| {
            let [session, id] = [session.expose(), &id].map(|id| (id as _, Type::UUID));
            let [read, sealed] = [(&read as _, Type::BYTEA), (&sealed as _, Type::BYTEA)];
            let statement = include_str!("../../sql/reports/replace.sql");
            Ok(!transaction.query(statement, &[session, id, read, sealed])?.is_empty())
        })
        .map(|is_replaced| is_replaced == Some(true))
    }

    /// Deletes a report. The result is whether it existed: of several concurrent deletes, exactly one gets `true`.
    ///
    /// # Errors
    /// Those of the statements.
    pub fn delete(&self, session: Lookup, id: Uuid) -> Result<bool, Error> {
        self.change(session, None, |transaction| {
            let [session, id] = [session.expose(), &id].map(|id| (id as _, Type::UUID));
            Ok(!transaction.query(include_str!("../../sql/reports/delete.sql"), &[session, id])?.is_empty())
        })
        .map(|is_deleted| is_deleted == Some(true))
    }

    /// Locks a session, and executes a statement on its reports. If that changes one, and `at` is the sealed time of a use, notes that
    /// in the session. `None` if there is no such session. The lock keeps off an erasure, which counts the reports that it deletes,
    /// and other changes of them, until the commit.
    fn change(
        &self,
        session: Lookup,
        at: Option<&[u8]>,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<bool, postgres::Error>,
    ) -> Result<Option<bool>, Error> {
        let mut connection = self.pool.acquire(self.max_wait)?;
        let lock = include_str!("../../sql/sessions/lock_to_change.sql");
        connection.transaction(|transaction| {
            if transaction.query(lock, &[(session.expose(), Type::UUID)])?.is_empty() {
                return Ok(None);
            }
            let is_changed = run(transaction)?;
            if let Some(at) = at.filter(|_| is_changed) {
                let touch = include_str!("../../sql/reports/touch.sql");
                transaction.query(touch, &[(session.expose(), Type::UUID), (&at, Type::BYTEA)])?;
            }
            Ok(Some(is_changed))
        })
    }
}
