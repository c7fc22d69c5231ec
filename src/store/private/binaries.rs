//! Finds the PostgreSQL that is installed on this machine, or says how to install one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::PrivateError;
use super::folder;

/// An installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Where `initdb`, `pg_ctl` and `postgres` are.
    pub folder: PathBuf,
    /// Its major version.
    pub version: u32,
}

/// The oldest version that the service's settings and statements suit.
const OLDEST: u32 = 12;

/// All there are: those of `PG_BIN` alone if it is set, else those of `PATH`, then the others from new to old. Never empty.
pub(super) fn find(chosen: Option<&Path>) -> Result<Vec<Binaries>, PrivateError> {
    if let Some(folder) = chosen {
        let reason = || format!("PG_BIN, {}, has no initdb, pg_ctl and postgres", folder.display());
        return Ok(vec![examine(folder).ok_or_else(|| PrivateError::NotInstalled(reason()))?]);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = examine_all(&env::split_paths(&path).collect::<Vec<_>>());
    let mut usual = examine_all(&usual_folders());
    usual.sort_by_key(|binaries| Reverse(binaries.version));
    found.append(&mut usual);
    let mut seen = HashSet::new();
    found.retain(|binaries| seen.insert(binaries.folder.clone()));
    if found.is_empty() { Err(PrivateError::NotInstalled(how_to_install())) } else { Ok(found) }
}

/// The one that fits the folder's data, or the first for a new folder.
pub(super) fn choose(mut installed: Vec<Binaries>, folder: &Path) -> Result<Binaries, PrivateError> {
    let Some(needed) = folder::cluster_version(folder) else { return Ok(installed.swap_remove(0)) };
    let fitting = installed.iter().position(|binaries| binaries.version == needed);
    match fitting {
        Some(position) => Ok(installed.swap_remove(position)),
        None => {
            let found: Vec<String> = installed.iter().map(|binaries| binaries.version.to_string()).collect();
            Err(PrivateError::OtherVersion { folder: folder.to_owned(), needed, found: found.join(", ") })
        }
    }
}

/// Where packages put the server without adding it to `PATH`: `(parent, beginning of the name, where the programs are)`.
const USUAL_PLACES: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu: 15/bin
    ("/usr/libexec", "postgresql", ""),          // Alpine: postgresql17
    ("/usr", "pgsql-", "bin"),                   // Fedora, Red Hat: pgsql-17/bin
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon: postgresql@17/bin
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, beginning, programs) in USUAL_PLACES {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(beginning) {
                folders.push(entry.path().join(programs));
            }
        }
    }
    folders
}

fn examine_all(folders: &[PathBuf]) -> Vec<Binaries> {
    folders.iter().filter(|folder| may_be_run(folder)).filter_map(|folder| examine(folder)).collect()
}

/// To look at a program it has to be run, and root must not run what belongs to somebody else unasked.
fn may_be_run(folder: &Path) -> bool {
    let owner = fs::metadata(folder.join("postgres")).map(|program| program.uid());
    owner.is_ok_and(|owner| owner == 0 || !geteuid().is_root())
}

fn examine(folder: &Path) -> Option<Binaries> {
    if !["initdb", "pg_ctl"].iter().all(|program| folder.join(program).exists()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
    // A link in PATH may lead to the real folder, where PostgreSQL looks for its own files.
    let folder = fs::canonicalize(folder.join("postgres")).ok()?.parent()?.to_owned();
    (version >= OLDEST).then_some(Binaries { folder, version })
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
