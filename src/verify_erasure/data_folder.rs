//! Every file of a PostgreSQL's data folder: pages, which say what a finding belongs to, and all others as bytes.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use super::findings::{Finding, Holder, Place};
use super::folders::{self, Entry};
use super::page::{self, PAGE_BYTES, Part};
use super::rows::ServerFiles;
use super::scanner::Hit;
use super::search::Search;
use super::transactions::Transactions;
use super::{given, wal};

/// The file that makes a folder one of PostgreSQL's data.
pub(super) const MARK: &str = "PG_VERSION";

/// The file that a running server has.
const PID_FILE: &str = "postmaster.pid";

/// Where `pg_control` has the state of the cluster, and the states after a stop in order: of a server, and of a standby.
const STATE_OFFSET: u64 = 16;
const STOPPED_IN_ORDER: [u8; 2] = [1, 2];

/// What a file of the folder is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Pages of a table or an index: the numbers of its database and of the file.
    Pages(u32, u32),
    /// Another fork of one.
    Map,
    Segment,
    Wal,
    Log,
    Temporary,
    Other,
}

/// Searches every file of a data folder. `server`: what the server that works in it has said.
pub(super) fn search(search: &mut Search<'_>, folder: &Path, server: Option<&ServerFiles>) {
    let mut errors = Vec::new();
    let entries = folders::files(folder, &mut |folder, error| errors.push((folder.to_owned(), error)));
    for (folder, error) in errors {
        search.not_looked(Place::DataFolder, &folder.display().to_string(), &error);
    }
    if server.is_none() {
        note_state(search, folder);
    }
    entries.iter().for_each(|entry| search.expect(entry.bytes));
    [Place::FreeSpace, Place::TemporaryFiles].into_iter().for_each(|place| search.findings.begin(place));
    let mut last_kind = Kind::Other;
    for Entry { path, relative, .. } in entries {
        let kind = kind(&relative);
        let place = match kind {
            Kind::Pages(database, file) => place_of_pages(server, database, file),
            Kind::Map => Place::Maps,
            Kind::Segment | Kind::Wal => Place::Wal,
            Kind::Log => {
                // A log may be compressed when it is old.
                given::file(search, Place::ServerLog, &path);
                continue;
            }
            Kind::Temporary => Place::TemporaryFiles,
            Kind::Other => Place::OtherFiles,
        };
        let name = search.name(place, &relative.display().to_string());
        let Some(mut file) = search.open(place, &path, &name) else { continue };
        match kind {
            Kind::Pages(database, number) => {
                let pages = Pages { data_folder: folder, server, relation: (database, number), name: &name };
                if let Err(error) = search.stream(&mut file, false, &mut |hit| pages.locate(hit)) {
                    search.not_looked(place, &name, &error);
                }
            }
            Kind::Segment => {
                // A record goes on in the next segment.
                let continues = last_kind == Kind::Segment;
                search.segment(place, &name, &mut file, continues);
            }
            _ => search.bytes(place, &name, &mut file, false),
        }
        search.findings.looked_at(place, file.bytes);
        last_kind = kind;
    }
}

/// Says what is missing in the files of a server that was not asked.
fn note_state(search: &mut Search<'_>, folder: &Path) {
    if folder.join(PID_FILE).exists() {
        let state = format!(
            "{}: a PostgreSQL runs here, or was killed: what it has in memory and not in its files yet was not looked at",
            folder.display()
        );
        // Rows that only the log has are seen by a server alone.
        if search.findings.was_looked_at(Place::Rows) {
            search.findings.note(state);
        } else {
            search.findings.not_looked(Place::Rows, format!("{state}; start it, and look again"));
        }
        return;
    }
    let mut state = [0];
    let control = fs::File::open(folder.join("global/pg_control"));
    let is_read = control.is_ok_and(|control| control.read_exact_at(&mut state, STATE_OFFSET).is_ok());
    if !is_read || !STOPPED_IN_ORDER.contains(&state[0]) {
        let reason =
            "PostgreSQL was not stopped in order: start it, so that it writes what only its log has, and look again";
        search.findings.not_looked(Place::Rows, format!("{}: {reason}", folder.display()));
    } else {
        let note = "no PostgreSQL was asked: rows are those that the heap pages have";
        search.findings.note(format!("{}: {note}", folder.display()));
    }
}

fn place_of_pages(server: Option<&ServerFiles>, database: u32, file: u32) -> Place {
    server.and_then(|server| server.relations.get(&(database, file))).map_or(Place::Heap, |relation| relation.place)
}

fn kind(relative: &Path) -> Kind {
    let parts: Vec<_> = relative.components().map(Component::as_os_str).filter_map(|part| part.to_str()).collect();
    let (Some(first), Some(name)) = (parts.first(), parts.last()) else { return Kind::Other };
    if parts.iter().any(|part| part.starts_with("pgsql_tmp")) {
        return Kind::Temporary;
    }
    match (*first, parts.len()) {
        ("pg_stat_tmp", _) => Kind::Temporary,
        ("log" | "pg_log", 2..) => Kind::Log,
        ("pg_wal", _) if wal::is_segment(name) => Kind::Segment,
        ("pg_wal", _) => Kind::Wal,
        ("global", 2) => of_relation("0", name),
        ("base", 3) => of_relation(parts[1], name),
        ("pg_tblspc", 5) => of_relation(parts[3], name),
        _ => Kind::Other,
    }
}

/// `16384`, `16384.1` for the second gigabyte, `16384_fsm` for another fork; `t3_16384` of a temporary table.
fn of_relation(database: &str, name: &str) -> Kind {
    let Ok(database) = database.parse() else { return Kind::Other };
    let is_temporary =
        name.strip_prefix('t').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    if is_temporary {
        return Kind::Temporary;
    }
    let (name, _segment) = name.split_once('.').unwrap_or((name, ""));
    let (number, fork) = name.split_once('_').unwrap_or((name, ""));
    match number.parse() {
        Ok(number) if fork.is_empty() => Kind::Pages(database, number),
        Ok(_) => Kind::Map,
        Err(_) => Kind::Other,
    }
}

/// The pages of one file.
struct Pages<'a> {
    data_folder: &'a Path,
    server: Option<&'a ServerFiles>,
    relation: (u32, u32),
    /// The path of the file.
    name: &'a str,
}

impl Pages<'_> {
    fn locate(&self, hit: &Hit<'_>) -> (Place, Finding) {
        let relation = self.server.and_then(|server| server.relations.get(&self.relation));
        let page_start = hit.at - hit.at % PAGE_BYTES;
        let part = page::part(&hit.bytes[page_start..], hit.at - page_start);
        let own = relation.map_or(Place::Heap, |relation| relation.place);
        let (place, holder) = match part {
            // What the page has is older than what statements see.
            Part::Row(_) if relation.is_some_and(|relation| relation.is_outdated) => (own, Holder::DeadRow),
            Part::Row(row) => {
                let transactions = Transactions::new(self.data_folder);
                let is_visible = row.is_visible(|transaction| transactions.is_committed(transaction));
                (own, if is_visible { Holder::Row } else { Holder::DeadRow })
            }
            // Without the catalogue a page itself shows that it is one of an index.
            Part::IndexEntry => (if relation.is_some() { own } else { Place::Index }, Holder::IndexEntry),
            Part::FreeSpace if own == Place::Index => (own, Holder::FreeSpace),
            Part::FreeSpace => (Place::FreeSpace, Holder::FreeSpace),
            Part::Other => (own, Holder::Bytes),
        };
        let location = relation.map_or_else(|| self.name.to_owned(), |relation| relation.name.clone());
        (place, Finding { trace: hit.trace, holder, location })
    }
}

/// Where a running server writes its log, if that is a file: its standard error.
///
/// # Errors
/// Says where it is otherwise.
pub(super) fn standard_error(folder: &Path) -> Result<Option<PathBuf>, String> {
    let unknown = "PostgreSQL's log is not in its folder: name it with --log";
    let pid = fs::read_to_string(folder.join(PID_FILE)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown.to_owned(),
        _ => format!("{unknown} ({error})"),
    })?;
    let process: u32 = pid.lines().next().and_then(|line| line.trim().parse().ok()).ok_or(unknown)?;
    let target = fs::read_link(format!("/proc/{process}/fd/2")).map_err(|_| unknown)?;
    match target {
        null if null == Path::new("/dev/null") => Ok(None),
        file if file.is_file() => Ok(Some(file)),
        _ => Err(format!("{unknown}; it goes to another program, such as the journal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_file_tells_its_kind() {
        for (path, expected) in [
            ("base/16385/16400", Kind::Pages(16385, 16400)),
            ("base/16385/16400.2", Kind::Pages(16385, 16400)),
            ("base/16385/16400_fsm", Kind::Map),
            ("base/16385/16400_vm.1", Kind::Map),
            ("base/16385/16400_init", Kind::Map),
            ("base/16385/t3_16400", Kind::Temporary),
            ("base/16385/pg_filenode.map", Kind::Other),
            ("global/1262", Kind::Pages(0, 1262)),
            ("global/pg_control", Kind::Other),
            ("pg_tblspc/16500/PG_15_202209061/16385/16400", Kind::Pages(16385, 16400)),
            ("base/pgsql_tmp/pgsql_tmp123.0", Kind::Temporary),
            ("pg_stat_tmp/global.stat", Kind::Temporary),
            ("pg_wal/000000010000000000000001", Kind::Segment),
            ("pg_wal/0000000A.history", Kind::Wal),
            ("log/postgresql-Mon.log", Kind::Log),
            ("postgresql.conf", Kind::Other),
            ("pg_xact/0000", Kind::Other),
        ] {
            assert_eq!(kind(Path::new(path)), expected, "{path}");
        }
    }
}
