//! How statements are executed on one connection: prepared once and kept, where the connection goes to PostgreSQL itself; without a
//! name where that is not certain, as behind a pooler.
//!
//! The driver names prepared statements `s0`, `s1` and so on, each once in a process. Behind a pooler in transaction mode, one service
//! could therefore execute another's statement.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use postgres::types::{ToSql, Type};
use postgres::{GenericClient, Row, Statement};

use super::direct;

/// A parameter of a statement and its type. Stating the type saves the round trip that asks PostgreSQL for it.
///
/// Built-in types only: the driver looks others up with a named statement, which PgBouncer's transaction mode does not
/// support.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// How the statements of a connection are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementMode {
    /// PostgreSQL parses and plans each once for the connection.
    Prepared,
    /// PostgreSQL parses and plans each every time: a pooler may give every transaction another process of PostgreSQL.
    Unnamed,
}

impl fmt::Display for StatementMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            StatementMode::Prepared => "prepared",
            StatementMode::Unnamed => "unnamed",
        })
    }
}

impl StatementMode {
    /// A line for the operator.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            StatementMode::Prepared => "prepared: PostgreSQL plans each once for a connection",
            StatementMode::Unnamed => {
                "unnamed, which is slower: it is not certain that the connection goes to PostgreSQL itself, as behind a pooler"
            }
        }
    }

    /// Finds out. `sockets`: the Unix sockets that the connection may go through.
    pub(super) fn find(client: &mut impl GenericClient, sockets: &[PathBuf]) -> Result<StatementMode, postgres::Error> {
        let is_direct = direct::is_direct(client, sockets)?;
        Ok(if is_direct { StatementMode::Prepared } else { StatementMode::Unnamed })
    }
}

/// The statements of one connection.
pub(super) struct Statements {
    /// The Unix sockets that the connection may go through.
    sockets: Arc<[PathBuf]>,
    /// `None` until the first statement.
    mode: Option<StatementMode>,
    /// By the address and the length of their text, of which the program has a fixed number.
    prepared: HashMap<(usize, usize), Statement>,
}

impl Statements {
    pub(super) fn new(sockets: Arc<[PathBuf]>) -> Statements {
        Statements { sockets, mode: None, prepared: HashMap::new() }
    }

    /// How they are executed, once a statement has found that out.
    pub(super) fn known_mode(&self) -> Option<StatementMode> {
        self.mode
    }

    /// How they are executed. The first call asks PostgreSQL.
    pub(super) fn mode(&mut self, client: &mut impl GenericClient) -> Result<StatementMode, postgres::Error> {
        let mode = self.mode.map_or_else(|| StatementMode::find(client, &self.sockets), Ok)?;
        self.mode = Some(mode);
        Ok(mode)
    }

    /// Executes a statement on the connection, or on a transaction of it, and returns its rows.
    pub(super) fn query(
        &mut self,
        client: &mut impl GenericClient,
        text: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, postgres::Error> {
        if self.mode(client)? == StatementMode::Unnamed {
            return client.query_typed(text, parameters);
        }
        let key = (text.as_ptr().addr(), text.len());
        let statement = match self.prepared.get(&key) {
            Some(statement) => statement,
            None => {
                let types: Vec<Type> = parameters.iter().map(|(_, of_type)| of_type.clone()).collect();
                let statement = client.prepare_typed(text, &types)?;
                self.prepared.entry(key).or_insert(statement)
            }
        };
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        client.query(statement, &values)
    }
}
