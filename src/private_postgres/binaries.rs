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
    /// The folder of `initdb` and `postgres`.
    pub folder: PathBuf,
    /// The major version.
    pub version: u32,
}

/// The oldest major version that supports the service's settings and statements.
const MIN_VERSION: u32 = 12;

/// Folders of programs that the operator names for an upgrade; `None` to search for them.
#[derive(Debug, Default)]
pub struct NamedPrograms {
    /// Those of the version that made the data.
    pub old: Option<PathBuf>,
    /// Those of the version that the data is brought to.
    pub new: Option<PathBuf>,
}

/// What pg_upgrade calls, of the old version and of the new one.
const OLD_PROGRAMS: [&str; 3] = ["pg_controldata", "pg_ctl", "pg_resetwal"];
const NEW_PROGRAMS: [&str; 9] = [
    "pg_controldata",
    "pg_ctl",
    "pg_dump",
    "pg_dumpall",
    "pg_resetwal",
    "pg_restore",
    "pg_upgrade",
    "psql",
    "vacuumdb",
];

/// The installation whose version matches the cluster in a data folder, or the first if there is no cluster.
///
/// The installations are that of `PG_BIN` alone if it is set, else those of `PATH`, then those of packages from new to old.
pub(super) fn find(config: &PrivateServer) -> Result<Binaries, Error> {
    let mut installed = usable(config)?;
    let Some(needed) = data_folder::cluster_version(&config.data_folder) else { return Ok(installed.swap_remove(0)) };
    match installed.iter().position(|binaries| binaries.version == needed) {
        Some(position) => Ok(installed.swap_remove(position)),
        None => {
            let is_old = installed.iter().any(|binaries| binaries.version > needed);
            let remedy = match (is_old, config.binaries.is_some()) {
                (false, _) => format!("set PG_BIN to the programs of version {needed}, or install it"),
                (true, true) => format!(
                    "run `safespace upgrade-data`, or set PG_BIN to the programs of version {needed}; that version must be \
                     installed for both"
                ),
                (true, false) => {
                    format!("install version {needed} too; then start as before, or run `safespace upgrade-data`")
                }
            };
            let found: Vec<String> = installed.iter().map(|binaries| binaries.version.to_string()).collect();
            Err(Error::OtherVersion { folder: config.data_folder.clone(), needed, found: found.join(", "), remedy })
        }
    }
}

/// Whether [`find`] finds a version.
pub(super) fn finds(config: &PrivateServer, version: u32) -> bool {
    usable(config).is_ok_and(|installed| installed.iter().any(|binaries| binaries.version == version))
}

/// The installations of the version that made the data and of a newer one: the named ones, else that of `PG_BIN`, else the
/// newest.
pub(super) fn find_for_upgrade(
    config: &PrivateServer,
    named: &NamedPrograms,
    from: u32,
) -> Result<(Binaries, Binaries), Error> {
    let set = config.binaries.as_deref().and_then(examine);
    let installed = installed();
    let old = match &named.old {
        Some(folder) => Some(examine_named(folder, "--old-bin")?),
        None => set.iter().chain(&installed).find(|binaries| binaries.version == from).cloned(),
    };
    let is_newer = |binaries: &&Binaries| binaries.version > from;
    let new = match &named.new {
        Some(folder) => Some(examine_named(folder, "--new-bin")?),
        None => {
            let newest = || installed.iter().filter(is_newer).max_by_key(|binaries| binaries.version);
            set.as_ref().filter(is_newer).or_else(newest).cloned()
        }
    };
    let new = new.filter(|binaries| is_newer(&binaries)).ok_or_else(|| {
        Error::Upgrade(format!(
            "it is of PostgreSQL {from} already, and no newer one is found: install one, or name the folder of its \
             programs with --new-bin"
        ))
    })?;
    let old = old.filter(|binaries| binaries.version == from).ok_or_else(|| {
        Error::Upgrade(format!(
            "it was made by PostgreSQL {from}, whose programs are needed too: install them (Debian: postgresql-{from}), or \
             name their folder with --old-bin"
        ))
    })?;
    check_complete(&old, &OLD_PROGRAMS)?;
    check_complete(&new, &NEW_PROGRAMS)?;
    Ok((old, new))
}

fn examine_named(folder: &Path, option: &str) -> Result<Binaries, Error> {
    let reason =
        || format!("{option}, {}, has no initdb and postgres of version {MIN_VERSION} or newer", folder.display());
    examine(folder).ok_or_else(|| Error::Upgrade(reason()))
}

fn check_complete(binaries: &Binaries, needed: &[&str]) -> Result<(), Error> {
    let missing: Vec<&str> = needed.iter().copied().filter(|program| !binaries.folder.join(program).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (folder, version) = (binaries.folder.display(), binaries.version);
    let missing = missing.join(", ");
    Err(Error::Upgrade(format!("{folder} has no {missing}: install them too (Debian: postgresql-client-{version})")))
}

fn usable(config: &PrivateServer) -> Result<Vec<Binaries>, Error> {
    if let Some(folder) = &config.binaries {
        let reason =
            || format!("PG_BIN, {}, has no initdb and postgres of version {MIN_VERSION} or newer", folder.display());
        return Ok(vec![examine(folder).ok_or_else(|| Error::NotInstalled(reason()))?]);
    }
    let installed = installed();
    if installed.is_empty() { Err(Error::NotInstalled(how_to_install())) } else { Ok(installed) }
}

/// The installations of `PATH`, then those of packages from new to old.
fn installed() -> Vec<Binaries> {
    let mut installed = examine_all(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut packaged = examine_all(package_folders());
    packaged.sort_by_key(|binaries| Reverse(binaries.version));
    installed.append(&mut packaged);
    let mut seen = HashSet::new();
    installed.retain(|binaries| seen.insert(binaries.folder.clone()));
    installed
}

/// Where packages install the server without adding it to `PATH`: `(parent folder, prefix of the name, folder below it)`.
const PACKAGE_FOLDERS: [(&str, &str, &str); 9] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu: 15/bin
    ("/usr/libexec", "postgresql", ""),          // Alpine: postgresql17
    ("/usr", "pgsql-", "bin"),                   // Fedora, Red Hat: pgsql-17/bin
    ("/opt", "pgsql-", "bin"),                   // Arch, for upgrades: pgsql-16/bin
    ("/usr/local", "pgsql", "bin"),              // built from source
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
    if !folder.join("initdb").exists() {
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
