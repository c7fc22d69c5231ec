//! What statements see: the rows of a session in every table, and where the server has its files.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, Row};

use super::findings::{Finding, Findings, Holder, Place, Trace};
use super::needles::Needles;
use crate::config::{PoolSettings, Server};
use crate::store::Connector;

/// Bounds each statement: a column without an index is read from beginning to end.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// Rows of a table of which it is found out whether they open. More are only counted.
const MAX_OPENED_ROWS: usize = 1_000;

/// What a file of the database belongs to.
pub(super) struct Relation {
    /// The table or index; of long values, their table.
    pub(super) name: String,
    pub(super) place: Place,
    /// Whether statements have said that no row of the session is in the table, and its file may have older rows: no checkpoint has
    /// written it.
    pub(super) is_outdated: bool,
}

/// What the server says of its files.
#[derive(Default)]
pub(super) struct ServerFiles {
    /// By the number of the database and of the file.
    pub(super) relations: HashMap<(u32, u32), Relation>,
    /// `None` where the role may not know it.
    pub(super) data_folder: Option<PathBuf>,
    /// The folder of its log, where a collector writes it. It may be below the data folder.
    pub(super) log_folder: Option<PathBuf>,
}

/// A column in which the lookup or sealed bytes can be.
struct Column {
    name: String,
    of_type: Type,
    is_readable: bool,
}

/// Asks for the rows of the session in every table, and has the server write its memory into its files. `None` where the server
/// cannot be reached.
pub(super) fn ask(
    server: &Server,
    pool: &PoolSettings,
    needles: &Needles,
    findings: &mut Findings,
) -> Option<ServerFiles> {
    let connected = Connector::new(server, pool, STATEMENT_TIMEOUT).and_then(|connector| connector.connect());
    let mut client = match connected {
        Ok(client) => client,
        Err(error) => {
            findings.not_looked(Place::Rows, format!("there is no connection to {server}: {error}"));
            return None;
        }
    };
    // Before anything is known of a row: what is deleted later is not in question.
    let is_written = client.batch_execute("CHECKPOINT").is_ok();
    if !is_written {
        findings.note(
            "the role may not run CHECKPOINT: what PostgreSQL has in memory and not in its files yet was not looked at \
             (grant it pg_checkpoint, or run CHECKPOINT as a superuser before)",
        );
    }
    let clean = match find_rows(&mut client, needles, findings) {
        Ok(clean) => clean,
        Err(error) => {
            findings.not_looked(Place::Rows, format!("the catalogue cannot be read: {}", reason(&error)));
            HashSet::new()
        }
    };
    let files = ask_for_files(&mut client, &clean, is_written);
    Some(files.unwrap_or_else(|error| {
        findings.note(format!("the names of files are not known: {}", reason(&error)));
        ServerFiles::default()
    }))
}

/// Looks into every table, and returns those that have no row of the session.
fn find_rows(client: &mut Client, needles: &Needles, findings: &mut Findings) -> Result<HashSet<u32>, postgres::Error> {
    let mut tables: Vec<(u32, String, Vec<Column>)> = Vec::new();
    for row in query(client, include_str!("../../sql/schema/key_columns.sql"), &[])? {
        let number: u32 = row.get("number");
        let of_type = if row.get::<_, &str>("type_name") == "uuid" { Type::UUID } else { Type::BYTEA };
        let column = Column { name: row.get("column_name"), of_type, is_readable: row.get("is_readable") };
        match tables.last_mut().filter(|(last, ..)| *last == number) {
            Some((_, _, columns)) => columns.push(column),
            None => tables.push((number, row.get("table_name"), vec![column])),
        }
    }
    let mut clean = HashSet::new();
    for (number, table, columns) in &tables {
        if find_rows_of(client, table, columns, needles, findings) {
            clean.insert(*number);
        }
    }
    Ok(clean)
}

/// Looks into one table. Returns whether all of it was looked at and nothing found.
fn find_rows_of(
    client: &mut Client,
    table: &str,
    columns: &[Column],
    needles: &Needles,
    findings: &mut Findings,
) -> bool {
    let lookup = *needles.key().lookup().expose();
    let lookup_bytes = lookup.as_bytes().as_slice();
    let mut is_clean = true;
    for column in columns {
        let location = format!("{table}.{}", column.name);
        if !column.is_readable {
            findings.not_looked(
                Place::Rows,
                format!("{location}: the role may not read it: GRANT SELECT, or use another role"),
            );
            is_clean = false;
            continue;
        }
        let value: &(dyn ToSql + Sync) = if column.of_type == Type::UUID { &lookup } else { &lookup_bytes };
        let matches = [(value, column.of_type.clone())];
        let (name, mut count) = (&column.name, 0);
        let outcome =
            query(client, &format!("SELECT count(*) FROM {table} WHERE {name} = $1"), &matches).and_then(|rows| {
                count = rows.first().map_or(0, |row| row.get::<_, i64>(0)).unsigned_abs();
                if count == 0 { Ok(()) } else { open(client, table, name, &matches, columns, needles, findings) }
            });
        findings.looked_at(Place::Rows, 0);
        if count > 0 {
            findings.add(
                Place::Rows,
                Finding { trace: Trace::Lookup, holder: Holder::Row, location: location.clone() },
                count,
            );
            is_clean = false;
        }
        if let Err(error) = outcome {
            findings.not_looked(Place::Rows, format!("{location}: {}", reason(&error)));
            is_clean = false;
        }
    }
    is_clean
}

/// Counts the values in these rows that open with the session's key.
fn open(
    client: &mut Client,
    table: &str,
    key_column: &str,
    matches: &[(&(dyn ToSql + Sync), Type)],
    columns: &[Column],
    needles: &Needles,
    findings: &mut Findings,
) -> Result<(), postgres::Error> {
    for column in columns.iter().filter(|column| column.of_type == Type::BYTEA && column.is_readable) {
        let name = &column.name;
        // The beginning of a value is enough.
        let text =
            format!("SELECT substr({name}, 1, 128) FROM {table} WHERE {key_column} = $1 LIMIT {MAX_OPENED_ROWS}");
        let rows = query(client, &text, matches)?;
        let opened =
            rows.iter().filter(|row| row.get::<_, Option<&[u8]>>(0).is_some_and(|value| needles.is_sealed(value)));
        let count = opened.count() as u64;
        if count > 0 {
            let location = format!("{table}.{name}");
            findings.add(Place::Rows, Finding { trace: Trace::Sealed, holder: Holder::Row, location }, count);
        }
    }
    Ok(())
}

fn ask_for_files(client: &mut Client, clean: &HashSet<u32>, is_written: bool) -> Result<ServerFiles, postgres::Error> {
    let mut files = ServerFiles::default();
    for row in query(client, include_str!("../../sql/schema/server_files.sql"), &[])? {
        files.data_folder = row.get::<_, Option<String>>("data_folder").map(PathBuf::from);
        let has_collector: bool = row.get("has_collector");
        let log_folder = row.get::<_, Option<String>>("log_folder").filter(|_| has_collector);
        files.log_folder = files.data_folder.as_ref().zip(log_folder).map(|(data, log)| data.join(log));
    }
    for row in query(client, include_str!("../../sql/schema/relation_files.sql"), &[])? {
        let place = match row.get::<_, &str>("kind") {
            "i" => Place::Index,
            "t" => Place::Toast,
            _ => Place::Heap,
        };
        let is_unwritten = !is_written || row.get("is_unlogged");
        let is_outdated = is_unwritten && clean.contains(&row.get::<_, u32>("number"));
        let relation = Relation { name: row.get("name"), place, is_outdated };
        files.relations.insert((row.get("database"), row.get("file")), relation);
    }
    Ok(files)
}

/// Executes a statement that only reads, and that fails where a policy would hide rows from this role.
fn query(
    client: &mut Client,
    text: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, postgres::Error> {
    let mut transaction = client.build_transaction().read_only(true).start()?;
    transaction.batch_execute("SET LOCAL row_security = off")?;
    let rows = transaction.query_typed(text, parameters)?;
    transaction.rollback()?;
    Ok(rows)
}

/// Why a statement failed, without PostgreSQL's words, which can quote values.
fn reason(error: &postgres::Error) -> String {
    match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            "the role may not read all rows of it: GRANT SELECT, or use another role".to_owned()
        }
        Some(&SqlState::QUERY_CANCELED) => format!("it took more than {} s", STATEMENT_TIMEOUT.as_secs()),
        Some(code) => format!("PostgreSQL refused it (SQLSTATE {})", code.code()),
        None => "the connection broke".to_owned(),
    }
}
