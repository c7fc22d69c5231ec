//! The peers: alternatives to SafeSpace, built once into cargo's target folder.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::settings::Settings;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};

pub(crate) const AXUM: &str = "axum";
pub(crate) const FASTAPI: &str = "FastAPI";

/// A built peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) database: &'static str,
    /// Whether it is so slow that fewer rounds and ids suffice.
    pub(crate) slow: bool,
    program: PathBuf,
    /// The folder of its sources.
    folder: PathBuf,
}

/// Builds the peers whose folders exist.
pub(crate) fn prepare(settings: &Settings) -> Outcome<Vec<Peer>> {
    let Some(peers) = &settings.peers else {
        eprintln!("PEERS is not set, so SafeSpace is measured beside pgbench and the limit alone.");
        return Ok(Vec::new());
    };
    let mut ready = Vec::new();
    for (name, database, slow) in [(AXUM, "axum", false), (FASTAPI, "fastapi", true)] {
        let folder = peers.join(database);
        if !folder.is_dir() {
            eprintln!("PEERS has no folder {database}, so {name} is left out.");
            continue;
        }
        eprintln!("building {name}");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(database);
        let program = if name == AXUM { build_axum(&folder, &target)? } else { install_fastapi(&folder, &target)? };
        ready.push(Peer { name, database, slow, program, folder });
    }
    Ok(ready)
}

fn build_axum(folder: &Path, target: &Path) -> Outcome<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    run(command.arg("--target-dir").arg(target))?;
    Ok(target.join("release/axum-peer"))
}

/// Installs the requirements into a virtual environment, again after they have changed.
fn install_fastapi(folder: &Path, target: &Path) -> Outcome<PathBuf> {
    let (required, installed) = (folder.join("requirements.txt"), target.join("installed.txt"));
    let requirements = fs::read_to_string(&required)?;
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == requirements) {
        return Ok(target.join("bin/uvicorn"));
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(target))?;
    run(Command::new(target.join("bin/python")).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&required))?;
    fs::write(installed, requirements)?;
    Ok(target.join("bin/uvicorn"))
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

impl Peer {
    pub(crate) fn command(&self, postgres: &Postgres, address: SocketAddr) -> Command {
        let (sockets, database) = (postgres.sockets(), self.database);
        let sockets = sockets.display();
        let mut command = Command::new(&self.program);
        command.current_dir(postgres.folder()).env_clear();
        if self.name == AXUM {
            command.env("DATABASE_URL", format!("host={sockets} user={OWNER} dbname={database}"));
            command.arg(address.to_string());
        } else {
            // Compiled files do not belong into the folder of the sources.
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command.env("DATABASE_URL", format!("postgresql+asyncpg://{OWNER}@/{database}?host={sockets}"));
            command.args(["app:app", "--workers", "2", "--no-access-log", "--host"]).arg(address.ip().to_string());
            command.arg("--port").arg(address.port().to_string()).arg("--app-dir").arg(&self.folder);
        }
        command
    }
}
