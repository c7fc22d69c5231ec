//! `safespace verify-erasure`: searches everything that can be reached for what is left of a session.
//!
//! - `input`: the id and the words, from standard input.
//! - [`forms`]: in which encodings they are searched for; `needles`: all of them at once, and sealed bytes.
//! - `scanner`, `search`: the search of a stream in pieces.
//! - `rows`: what statements see; `data_folder`, `page`, `transactions`, `wal`, `wal_images`: what PostgreSQL's files have.
//! - `given`, `folders`, `tar`, `custom_dump`: the files that the operator names.
//! - `findings`: what was found where, and the verdict.

mod custom_dump;
mod data_folder;
mod findings;
mod folders;
pub mod forms;
mod given;
mod input;
mod needles;
mod page;
mod rows;
mod scanner;
mod search;
mod tar;
mod transactions;
mod wal;
mod wal_images;

use std::fs;
use std::path::{Path, PathBuf};

pub use findings::{Findings, Holder, Place, Trace, Verdict};
pub use input::{InputError, Wanted};

use crate::config::{Config, Database};
use crate::private_postgres::PrivatePostgres;
use needles::Needles;
use rows::ServerFiles;
use search::Search;

/// How the folders of data begin in the folder of a private PostgreSQL: those in use, those that an upgrade keeps, and those that an
/// interrupted attempt left.
const CLUSTERS: &str = "cluster";

/// The places that are searched beside the database of the configuration.
#[derive(Debug, Default)]
pub struct Request {
    /// The data folder; `None` for that of the database, if it is on this machine.
    pub data_folder: Option<PathBuf>,
    /// Whether no data folder is searched.
    pub without_data_folder: bool,
    /// Files and folders of archived segments of the write-ahead log.
    pub wal_archives: Vec<PathBuf>,
    /// Log files, and folders of them.
    pub logs: Vec<PathBuf>,
    /// Dumps and backups: files and folders.
    pub dumps: Vec<PathBuf>,
}

/// Searches the database of the configuration, its files, and the files of the request. Only the lookup is sent to PostgreSQL. Reads
/// everything once, in constant memory.
///
/// # Panics
/// Never: the automaton has room for the words of a [`Wanted`], which are bounded.
#[must_use]
pub fn verify(config: &Config, request: &Request, wanted: &Wanted) -> Findings {
    let needles = Needles::new(&wanted.id, &wanted.words).expect("the input is bounded");
    let mut search = Search::new(&needles);
    let server = match &config.database {
        Database::Server(server) => Some((**server).clone()),
        Database::Private(private) => PrivatePostgres::is_running(private).then(|| PrivatePostgres::server(private)),
    };
    if server.is_none() && (request.without_data_folder || request.data_folder.is_some()) {
        let reason = "the private PostgreSQL does not run: start the service, or have its own data folder searched";
        search.findings.not_looked(Place::Rows, reason.to_owned());
    }
    let files = server.and_then(|server| rows::ask(&server, &config.pool, &needles, &mut search.findings));
    if !request.without_data_folder {
        match data_folder_of(config, request, files.as_ref()) {
            Ok(folder) => search_data(&mut search, &folder, files.as_ref(), !request.logs.is_empty()),
            Err(reason) => search.findings.not_looked(Place::DataFolder, reason),
        }
    }
    for (place, paths) in
        [(Place::WalArchive, &request.wal_archives), (Place::Log, &request.logs), (Place::Dump, &request.dumps)]
    {
        paths.iter().for_each(|path| given::search(&mut search, place, path));
    }
    search.finish()
}

/// The folder to search, or why there is none.
fn data_folder_of(config: &Config, request: &Request, files: Option<&ServerFiles>) -> Result<PathBuf, String> {
    if let Some(given) = &request.data_folder {
        return Ok(given.clone());
    }
    if config.pool.is_distributed {
        return Err("Citus distributes the rows over several machines: run this on each with --data-folder".to_owned());
    }
    match (&config.database, files) {
        (Database::Private(private), _) => Ok(private.data_folder.clone()),
        (Database::Server(server), _) if !server.is_on_this_machine() => {
            Err("PostgreSQL is on another machine: run this there, or name a copy with --data-folder".to_owned())
        }
        (Database::Server(_), Some(ServerFiles { data_folder: Some(folder), .. })) => Ok(folder.clone()),
        (Database::Server(_), _) => {
            Err("the role may not know it: name it with --data-folder, or GRANT pg_read_all_settings".to_owned())
        }
    }
}

/// Searches a data folder, or the folder of a private PostgreSQL around it.
fn search_data(search: &mut Search<'_>, folder: &Path, server: Option<&ServerFiles>, has_logs: bool) {
    let is_same = |cluster: &Path, known: &Path| fs::canonicalize(cluster).ok() == fs::canonicalize(known).ok();
    let of_server = |cluster: &Path| {
        server.filter(|server| server.data_folder.as_ref().is_some_and(|known| is_same(cluster, known)))
    };
    if folder.join(data_folder::MARK).exists() {
        data_folder::search(search, folder, of_server(folder));
        return search_server_log(search, folder, of_server(folder), has_logs);
    }
    let entries: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => return search.not_looked(Place::DataFolder, &folder.display().to_string(), &error),
    };
    let is_cluster = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CLUSTERS)) && path.is_dir()
    };
    if !entries.iter().any(|path| is_cluster(path)) {
        let reason = "it is no data folder of PostgreSQL, and not that of a private one";
        search.findings.not_looked(Place::DataFolder, format!("{}: {reason}", folder.display()));
    }
    for path in &entries {
        if is_cluster(path) {
            data_folder::search(search, path, of_server(path));
        } else if path.is_file() {
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            given::file(search, if is_log { Place::ServerLog } else { Place::OtherFiles }, path);
        }
    }
}

/// Searches the log of a server, where it is not in its data folder.
fn search_server_log(search: &mut Search<'_>, folder: &Path, server: Option<&ServerFiles>, has_logs: bool) {
    let collected = server.and_then(|server| server.log_folder.as_deref());
    match collected {
        Some(log) if log.starts_with(folder) => {}
        Some(log) => given::search(search, Place::ServerLog, log),
        // The operator has named it.
        None if has_logs => {}
        None => match data_folder::standard_error(folder) {
            Ok(Some(log)) => given::search(search, Place::ServerLog, &log),
            Ok(None) => {}
            Err(reason) => search.findings.not_looked(Place::ServerLog, reason),
        },
    }
}
