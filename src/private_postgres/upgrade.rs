//! `safespace upgrade-data`: brings the data to a newer major version of PostgreSQL with pg_upgrade.
//!
//! pg_upgrade copies the old cluster into a new one. The new one takes the old one's place when it is complete and has
//! started once. Until then an interruption leaves the old cluster as it was; afterwards it is kept until it is deleted.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::binaries::{self, Binaries, NamedPrograms};
use super::data_folder::{self, CLUSTER, DataFolder, SOCKETS, UPGRADED_CLUSTER};
use super::error::Error;
use super::postgres::{INITDB_ARGUMENTS, owner};
use super::process::{NAME, Process};
use super::room::Room;
use super::{left_over, program};
use crate::config::PrivateServer;

/// Bytes that the new cluster needs beside the copied data: its system catalogs and its write-ahead log.
const NEW_CLUSTER_BYTES: u64 = 128 << 20;

/// The port, which names the socket, of the servers that pg_upgrade starts: not that of the service, which nobody must reach
/// meanwhile. A name as long as that of the service's socket fits into the folder.
const UPGRADE_PORT: &str = "5433";

/// The first version whose initdb turns checksums on without being asked.
const CHECKSUMS_BY_DEFAULT: u32 = 18;

/// Where pg_upgrade leaves its logs in the new cluster when it fails. They are kept beside the data until the next upgrade.
const LOGS: &str = "pg_upgrade_output.d";

/// What an upgrade has done.
#[derive(Debug)]
pub struct Upgrade {
    /// The major version of the old data.
    pub from: u32,
    /// The major version of the data.
    pub to: u32,
    /// The folder of the old data.
    pub kept: PathBuf,
    /// The folder of the new programs, if the service does not find them by itself.
    pub set_pg_bin: Option<PathBuf>,
}

/// Upgrades the data of the configured folder. `on_line` gets each line that tells of the progress.
///
/// # Errors
/// [`Error::Upgrade`] if it is not possible, with what to do; [`Error::Failed`] with the reason of a program that failed;
/// [`Error::InUse`] while the service runs; [`Error::Interrupted`] when `stop` is set. The old data is in use again then.
pub fn upgrade(
    config: &PrivateServer,
    programs: &NamedPrograms,
    stop: &AtomicBool,
    on_line: &mut dyn FnMut(&str),
) -> Result<Upgrade, Error> {
    let Some(from) = data_folder::cluster_version(&config.data_folder) else {
        return Err(Error::Upgrade(format!("{} holds no data", config.data_folder.display())));
    };
    let (old, new) = binaries::find_for_upgrade(config, programs, from)?;
    let folder = Arc::new(DataFolder::open(&config.data_folder, owner()?)?);
    left_over::clear(&folder, stop)?;
    let _ = fs::remove_dir_all(folder.path.join(LOGS));
    check_upgradable(&folder, &old, &new)?;
    on_line(&format!("Upgrading from PostgreSQL {} in {}", old.version, old.folder.display()));
    on_line(&format!("            to PostgreSQL {} in {}", new.version, new.folder.display()));
    let mut control = control_data(&folder, &old, stop)?;
    if control_value(&control, "Database cluster state") != "shut down" {
        on_line("The server was not stopped in order: starting and stopping it");
        run_server(&folder, CLUSTER, &old, "", stop)?;
        control = control_data(&folder, &old, stop)?;
    }
    folder.create_cluster(UPGRADED_CLUSTER, |name| {
        let filled = fill(&folder, &old, &new, name, &control, stop, on_line);
        let _ = fs::remove_file(folder.path.join(SOCKETS).join("delete_old_cluster.sh"));
        filled.inspect_err(|_| {
            // pg_upgrade starts servers that do not end with it.
            let wait = AtomicBool::new(false);
            let _ = left_over::stop_server(&folder.path, CLUSTER, &wait);
            let _ = left_over::stop_server(&folder.path, name, &wait);
        })
    })?;
    on_line("Starting the new server once, and collecting statistics");
    run_server(&folder, UPGRADED_CLUSTER, &new, "ANALYZE", stop)?;
    let kept = folder.kept_cluster(from);
    folder.switch_to_upgraded(&kept)?;
    let set_pg_bin = (!binaries::finds(config, new.version)).then_some(new.folder);
    Ok(Upgrade { from, to: new.version, kept, set_pg_bin })
}

/// Deletes the data that upgrades have kept, and returns its folders. The service may run.
///
/// # Errors
/// [`Error::Upgrade`] if there is none, or no data that replaced it; [`Error::Folder`] if it cannot be deleted.
pub fn delete_old_data(config: &PrivateServer) -> Result<Vec<PathBuf>, Error> {
    let path = &config.data_folder;
    let old = data_folder::old_clusters(path);
    if old.is_empty() || data_folder::cluster_version(path).is_none() {
        return Err(Error::Upgrade(format!("{} holds no old data beside its data", path.display())));
    }
    data_folder::check_ownership(path)?;
    for folder in &old {
        fs::remove_dir_all(folder).map_err(|error| Error::Folder(format!("{}: {error}", folder.display())))?;
    }
    Ok(old)
}

/// Refuses what would fail midway.
fn check_upgradable(folder: &DataFolder, old: &Binaries, new: &Binaries) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Upgrade(reason));
    let cluster = folder.path.join(CLUSTER);
    let kept = folder.kept_cluster(old.version);
    if kept.exists() {
        let kept = kept.display();
        return refuse(format!(
            "{kept} is there from an earlier upgrade; see what it holds, and remove it or move it away"
        ));
    }
    // pg_upgrade passes paths through a shell.
    let has_shell_character = |path: &&Path| path.to_string_lossy().contains(['\'', '"', '$', '`', '\\', '\n']);
    if let Some(path) = [folder.path.as_path(), &old.folder, &new.folder].iter().find(|path| has_shell_character(path))
    {
        return refuse(format!("{} has a character that pg_upgrade cannot carry, such as ' or $", path.display()));
    }
    let needed = size_of(&cluster).unwrap_or(0) + NEW_CLUSTER_BYTES;
    let room = Room::measure(&folder.path);
    let free = room.map_err(|error| Error::Folder(format!("{}: {error}", folder.path.display())))?.bytes;
    if free < needed {
        let (needed, free) = (needed >> 20, free >> 20);
        return refuse(format!(
            "the copy needs {needed} MiB, and {free} MiB are free on the disk of {}",
            folder.path.display()
        ));
    }
    Ok(())
}

/// Bytes on the disk of a folder and everything below it.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // That of a link itself.
        let found = entry.metadata()?;
        size += if found.is_dir() { size_of(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(size)
}

fn control_data(folder: &DataFolder, old: &Binaries, stop: &AtomicBool) -> Result<String, Error> {
    let mut command = folder.command(&old.folder.join("pg_controldata"))?;
    command.args(["-D", CLUSTER]);
    program::run(command, stop, &mut |_| {})
}

/// The value of a line `name: value`.
fn control_value<'a>(control: &'a str, name: &str) -> &'a str {
    let values = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    control.lines().find_map(values).unwrap_or_default().trim()
}

/// Runs a server until it is ready and has executed `sql`, and stops it in order.
fn run_server(
    folder: &Arc<DataFolder>,
    cluster: &'static str,
    binaries: &Binaries,
    sql: &str,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let process = Process::start(folder.clone(), cluster, binaries.clone(), &[])?;
    let result = process.wait_until_ready(stop).and_then(|()| process.execute(sql));
    process.stop();
    result
}

/// Makes a new cluster in the folder `name` and copies the old one into it.
fn fill(
    folder: &DataFolder,
    old: &Binaries,
    new: &Binaries,
    name: &str,
    control: &str,
    stop: &AtomicBool,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    on_line("Making the new cluster");
    let mut initdb = folder.command(&new.folder.join("initdb"))?;
    initdb.args(INITDB_ARGUMENTS).args(["-D", name]);
    // Both clusters must agree in these.
    let has_checksums = control_value(control, "Data page checksum version") != "0";
    if has_checksums {
        initdb.arg("--data-checksums");
    } else if new.version >= CHECKSUMS_BY_DEFAULT {
        initdb.arg("--no-data-checksums");
    }
    if let Ok(bytes) = control_value(control, "Bytes per WAL segment").parse::<u64>() {
        initdb.arg(format!("--wal-segsize={}", bytes >> 20));
    }
    program::run(initdb, stop, &mut |_| {})?;

    let mut pg_upgrade = folder.command(&new.folder.join("pg_upgrade"))?;
    // It writes to its working folder, and makes its sockets there.
    pg_upgrade.current_dir(folder.path.join(SOCKETS));
    pg_upgrade.arg("-b").arg(&old.folder).arg("-B").arg(&new.folder);
    pg_upgrade.arg("-d").arg(folder.path.join(CLUSTER)).arg("-D").arg(folder.path.join(name));
    pg_upgrade.args(["-U", NAME, "-p", UPGRADE_PORT, "-P", UPGRADE_PORT]);
    let upgraded = program::run(pg_upgrade, stop, &mut |line| {
        // The rest is for people who run it by hand.
        if line.ends_with("ok") || line.ends_with("fatal") {
            on_line(line);
        }
    });
    upgraded.map(drop).map_err(|error| match error {
        Error::Failed(reason) => Error::Failed(match keep_logs(folder, name) {
            Some(logs) => format!("{reason} (its logs are now in {})", logs.display()),
            None => reason,
        }),
        error => error,
    })
}

/// Moves the logs of a failed upgrade out of the folder that is removed then.
fn keep_logs(folder: &DataFolder, name: &str) -> Option<PathBuf> {
    let kept = folder.path.join(LOGS);
    fs::rename(folder.path.join(name).join(LOGS), &kept).ok()?;
    Some(kept)
}
