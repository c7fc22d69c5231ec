//! Why PostgreSQL refuses connections, or statements that are right: by SQLSTATE, with words that hold no value of a row.

use postgres::error::{DbError, Severity, SqlState};

/// Characters of PostgreSQL's message in the log at most.
const MAX_REASON_CHARS: usize = 200;

/// A reason that lies with the server rather than with the statement, so that an operator must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A disk of PostgreSQL is full (53100).
    DiskFull,
    /// It lacks memory or locks, or a limit of its configuration is reached (class 53).
    Resources,
    /// It has no connection left: the limit of the server, the database or the role is reached (53300).
    Connections,
    /// The server is a standby, or the database or the role was made read-only (25006).
    ReadOnly,
    /// The role lacks a privilege (42501).
    Privilege,
    /// A table, a column or a function is missing or has changed (classes 42 and 3F).
    Schema,
    /// Files of PostgreSQL cannot be read or written, or hold damaged data (class 58, XX001, XX002).
    Damaged,
    /// It refuses the login: the password, the role, the database or `pg_hba.conf` (class 28, 3D000).
    Login,
}

impl Fault {
    /// The fault that a SQLSTATE stands for, if any.
    pub(super) fn of(code: &SqlState) -> Option<Fault> {
        let code = code.code();
        match (code, code.get(..2)?) {
            ("53100", _) => Some(Fault::DiskFull),
            ("53300", _) => Some(Fault::Connections),
            ("25006", _) => Some(Fault::ReadOnly),
            ("42501", _) => Some(Fault::Privilege),
            ("XX001" | "XX002", _) => Some(Fault::Damaged),
            ("3D000", _) => Some(Fault::Login),
            (_, "53") => Some(Fault::Resources),
            (_, "42" | "3F") => Some(Fault::Schema),
            (_, "58") => Some(Fault::Damaged),
            (_, "28") => Some(Fault::Login),
            _ => None,
        }
    }

    /// Says to everybody what is wrong; the log has PostgreSQL's words.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Fault::DiskFull => "A disk of PostgreSQL is full.",
            Fault::Resources => "PostgreSQL lacks memory, locks or another resource.",
            Fault::Connections => "PostgreSQL has no connection left for the service.",
            Fault::ReadOnly => "The database is read-only.",
            Fault::Privilege => "The role of the service lacks a privilege.",
            Fault::Schema => "The tables are not as the service needs them.",
            Fault::Damaged => "PostgreSQL cannot read or write some of its files.",
            Fault::Login => "PostgreSQL refuses the login of the service.",
        }
    }

    /// Whether other statements of a batch may succeed: one block of one table can be damaged.
    pub(super) fn may_concern_one_item(self) -> bool {
        self == Fault::Damaged
    }

    /// Whether connections that are open do not meet it.
    pub(super) fn concerns_new_connections(self) -> bool {
        matches!(self, Fault::Connections | Fault::Login)
    }
}

/// Whether the connection can be used after this error: PostgreSQL closes it after FATAL and PANIC.
pub(super) fn keeps_connection(error: &DbError) -> bool {
    let lost = [
        // A transaction was left open, which no statement here does.
        SqlState::IN_FAILED_SQL_TRANSACTION,
        // The prepared statement is gone, or the type of a column that it returns has changed.
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    error.parsed_severity() == Some(Severity::Error)
        && !lost.contains(error.code())
        && !error.code().code().starts_with("08")
}

/// PostgreSQL's primary message. Those of a [`Fault`] name tables, roles and files; other classes quote values. With a context
/// (`where_`) the message comes from a trigger or a function, whose text and SQL can hold anything, so it is left out.
pub(super) fn reason(error: &DbError) -> String {
    if error.where_().is_some() {
        return "within a trigger or a function".to_owned();
    }
    let printable = error.message().chars().map(|it| if it.is_control() { ' ' } else { it });
    printable.take(MAX_REASON_CHARS).collect()
}
