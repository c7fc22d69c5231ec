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
use super::error::PrivatePostgresError;

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

/// All installations: that of `PG_BIN` alone if it is set, else those of `PATH`, then those of packages from new to old.
/// Never empty.
pub(super) fn find(chosen: Option<&Path>) -> Result<Vec<Binaries>, PrivatePostgresError> {
    if let Some(folder) = chosen {
        let reason = || format!("PG_BIN, {}, has no initdb, pg_ctl and postgres", folder.display());
        return Ok(vec![examine(folder).ok_or_else(|| PrivatePostgresError::NotInstalled(reason()))?]);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = examine_all(&env::split_paths(&path).collect::<Vec<_>>());
    let mut packaged = examine_all(&package_folders());
    packaged.sort_by_key(|binaries| Reverse(binaries.version));
    found.append(&mut packaged);
    let mut seen = HashSet::new();
    found.retain(|binaries| seen.insert(binaries.folder.clone()));
    if found.is_empty() { Err(PrivatePostgresError::NotInstalled(how_to_install())) } else { Ok(found) }
}

/// The installation whose version matches the cluster in the folder, or the first if there is no cluster.
pub(super) fn choose(mut installed: Vec<Binaries>, folder: &Path) -> Result<Binaries, PrivatePostgresError> {
    let Some(needed) = data_folder::cluster_version(folder) else { return Ok(installed.swap_remove(0)) };
    let matching = installed.iter().position(|binaries| binaries.version == needed);
    match matching {
        Some(position) => Ok(installed.swap_remove(position)),
        None => {
            let found: Vec<String> = installed.iter().map(|binaries| binaries.version.to_string()).collect();
            Err(PrivatePostgresError::OtherVersion { folder: folder.to_owned(), needed, found: found.join(", ") })
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

fn package_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix, programs) in PACKAGE_FOLDERS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path().join(programs));
            }
        }
    }
    folders
}

fn examine_all(folders: &[PathBuf]) -> Vec<Binaries> {
    folders.iter().filter(|folder| is_trusted(folder)).filter_map(|folder| examine(folder)).collect()
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
        system
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
            .flat_map(|value| value.trim_matches('"').split(' '))
            .any(|word| names.contains(&word))
    };
    let command = if cfg!(target_os = "macos") {
        "brew install postgresql@17".to_owned()
    } else if is(&["debian", "ubuntu"]) {
        format!("{sudo}apt-get install -y postgresql")
    } else if is(&["fedora", "rhel"]) {
        format!("{sudo}dnf install -y postgresql-server")
    } else if is(&["arch"]) {
        format!("{sudo}pacman -S --noconfirm postgresql")
    } else if is(&["alpine"]) {
        format!("{sudo}apk add postgresql")
    } else {
        "your system's packages, PostgreSQL 12 or newer".to_owned()
    };
    format!("no initdb and postgres in PATH or the usual folders. Install it with: {command}  (or set DATABASE_URL)")
}
