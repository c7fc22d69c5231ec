//! Finds the PostgreSQL installations of this machine, or names the command that installs one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::data_folder;
use super::error::Error;
use crate::config::PrivateServer;

/// An installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder of `initdb`, `pg_ctl` and `postgres`.
    pub folder: PathBuf,
    /// The major version.
    pub version: u32,
}

/// The oldest major version that supports the service's settings and statements.
const MIN_VERSION: u32 = 12;

/// The installation whose version matches the cluster in a data folder, or the first if there is no cluster.
///
/// The installations are that of `PG_BIN` alone if it is set, else those of `PATH`, then those of packages from new to old.
pub(super) fn find(config: &PrivateServer) -> Result<Binaries, Error> {
    let mut installed;
    if let Some(folder) = &config.binaries {
        let reason = || format!("PG_BIN, {}, has no initdb, pg_ctl and postgres", folder.display());
        installed = vec![examine(folder).ok_or_else(|| Error::NotInstalled(reason()))?];
    } else {
        installed = examine_all(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut packaged = examine_all(package_folders());
        packaged.sort_by_key(|binaries| Reverse(binaries.version));
        installed.append(&mut packaged);
        let mut seen = HashSet::new();
        installed.retain(|binaries| seen.insert(binaries.folder.clone()));
    }
    if installed.is_empty() {
        return Err(Error::NotInstalled(how_to_install()));
    }
    let Some(needed) = data_folder::cluster_version(&config.data_folder) else { return Ok(installed.swap_remove(0)) };
    match installed.iter().position(|binaries| binaries.version == needed) {
        Some(position) => Ok(installed.swap_remove(position)),
        None => {
            let found: Vec<String> = installed.iter().map(|binaries| binaries.version.to_string()).collect();
            Err(Error::OtherVersion { folder: config.data_folder.clone(), needed, found: found.join(", ") })
        }
    }
}

/// Where packages install the server without adding it to `PATH`: `(parent folder, prefix of the name, folder below it)`.
const PACKAGE_FOLDERS: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu: 15/bin
    ("/usr/libexec", "postgresql", ""),          // Alpine: postgresql17
    ("/usr", "pgsql-", "bin"),                   // Fedora, Red Hat: pgsql-17/bin
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon: postgresql@17/bin
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

fn package_folders() -> impl Iterator<Item = PathBuf> {
    PACKAGE_FOLDERS.into_iter().flat_map(|(parent, prefix, programs)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let versions = entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix));
        versions.map(move |entry| entry.path().join(programs))
    })
}

fn examine_all(folders: impl Iterator<Item = PathBuf>) -> Vec<Binaries> {
    folders.filter(|folder| is_trusted(folder)).filter_map(|folder| examine(&folder)).collect()
}

/// Reading the version executes the program, and root must not execute programs of other users without being asked to.
fn is_trusted(folder: &Path) -> bool {
    let owner = fs::metadata(folder.join("postgres")).map(|program| program.uid());
    owner.is_ok_and(|owner| owner == 0 || !geteuid().is_root())
}

fn examine(folder: &Path) -> Option<Binaries> {
    if !["initdb", "pg_ctl"].iter().all(|program| folder.join(program).exists()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
    // PATH may hold a link; PostgreSQL finds its own files relative to the real folder.
    let folder = fs::canonicalize(folder.join("postgres")).ok()?.parent()?.to_owned();
    (version >= MIN_VERSION).then_some(Binaries { folder, version })
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split(") ").nth(1)?;
    number.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn how_to_install() -> String {
    let sudo = if geteuid().is_root() { "" } else { "sudo " };
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is = |names: &[&str]| {
        let values = system.lines().filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
        values.flat_map(|value| value.trim_matches('"').split(' ')).any(|word| names.contains(&word))
    };
    let (sudo, command) = match () {
        () if cfg!(target_os = "macos") => ("", "brew install postgresql@17"),
        () if is(&["debian", "ubuntu"]) => (sudo, "apt-get install -y postgresql"),
        () if is(&["fedora", "rhel"]) => (sudo, "dnf install -y postgresql-server"),
        () if is(&["arch"]) => (sudo, "pacman -S --noconfirm postgresql"),
        () if is(&["alpine"]) => (sudo, "apk add postgresql"),
        () => ("", "your system's packages, PostgreSQL 12 or newer"),
    };
    format!(
        "no initdb and postgres in PATH or the usual folders. Install it with: {sudo}{command}  (or set DATABASE_URL)"
    )
}
