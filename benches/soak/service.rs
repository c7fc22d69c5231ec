//! The service under test: the release binary with a private PostgreSQL, killed and started again at the same address.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Config;
use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;
use tempfile::TempDir;

use crate::support::outcome::Outcome;
use crate::support::process::{PROGRAM, is_ok};
use crate::support::processes;
use crate::support::stop::StopSignal;

/// How long a start may take: PostgreSQL recovers first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stop in order may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Companion {
    Script,
    Model,
}

impl Companion {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Companion::Script => "script",
            Companion::Model => "model",
        }
    }

    pub(crate) fn other(self) -> Companion {
        match self {
            Companion::Script => Companion::Model,
            Companion::Model => Companion::Script,
        }
    }
}

/// The service, and PostgreSQL, which it starts. Dropping it stops both.
pub(crate) struct Service {
    data: TempDir,
    /// Of its log.
    folder: TempDir,
    model: SocketAddr,
    pub(crate) address: SocketAddr,
    pub(crate) companion: Companion,
    child: Option<Child>,
}

impl Service {
    /// A service that is not started yet, on a free port, with an empty folder of data.
    pub(crate) fn new(model: SocketAddr, companion: Companion) -> Outcome<Service> {
        // The path of a Unix socket has at most 107 bytes, hence /tmp.
        let new_folder = || tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Service { data: new_folder()?, folder: new_folder()?, model, address, companion, child: None })
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&mut self, stop: &StopSignal) -> Outcome<()> {
        let log = File::options().append(true).create(true).open(self.log_file())?;
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path()).env_clear().env("LOG_LEVEL", "warn");
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("SAFESPACE_DATA_DIR", self.data.path());
        command.env("APP_HOST", self.address.ip().to_string()).env("APP_PORT", self.address.port().to_string());
        command.env("TRUSTED_PROXIES", Ipv4Addr::LOCALHOST.to_string());
        if self.companion == Companion::Model {
            command.env("OPENAI_BASE_URL", format!("http://{}/v1", self.model)).env("COMPANION_MODEL", "soak");
        }
        // Ctrl-C must not end it before the bench does.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = self.child.insert(command.spawn()?);
        let deadline = Instant::now() + START_TIMEOUT;
        while !is_ok(self.address, "/health/ready") {
            stop.check()?;
            if Instant::now() > deadline || child.try_wait()?.is_some() {
                return Err(format!("the service does not start: {}", self.log()?).into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Kills it with SIGKILL. PostgreSQL runs on.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Kills PostgreSQL with SIGKILL: its first process, or one that serves a connection, whereupon PostgreSQL ends all others and
    /// recovers.
    pub(crate) fn kill_postgres(&self, is_backend: bool) -> Outcome<()> {
        let postmaster = self.postmaster().ok_or("PostgreSQL does not run")?;
        let serves = |process: &u32| {
            let title = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&title).contains("[local]")
        };
        let backends = || processes::tree(postmaster).into_iter().find(serves);
        let process = if is_backend { backends().unwrap_or(postmaster) } else { postmaster };
        Ok(kill(Pid::from_raw(process.try_into()?), Signal::SIGKILL)?)
    }

    /// Stops it in order, and returns how it ended.
    pub(crate) fn stop(&mut self) -> Outcome<ExitStatus> {
        let Some(mut child) = self.child.take() else { return Err("the service does not run".into()) };
        kill(Pid::from_raw(child.id().try_into()?), Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Ok(ExitStatus::from_raw(Signal::SIGKILL as i32));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The first process of PostgreSQL.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        let file = fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let process = file.lines().next()?.parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
        name.starts_with("postgres").then_some(process)
    }

    /// PostgreSQL's data.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.data.path().join("cluster")
    }

    /// How to connect to PostgreSQL.
    pub(crate) fn connect(&self) -> Config {
        PrivatePostgres::server(&PrivateServer { data_folder: self.data.path().to_owned(), binaries: None }).connect
    }

    /// Its log of all starts.
    pub(crate) fn log(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.log_file())?)
    }

    fn log_file(&self) -> PathBuf {
        Path::new(self.folder.path()).join("log")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.stop();
        }
        // One that was killed leaves PostgreSQL behind.
        let deadline = Instant::now() + STOP_TIMEOUT;
        while let Some(postmaster) = self.postmaster().and_then(|process| i32::try_from(process).ok()) {
            let signal = if Instant::now() < deadline { Signal::SIGQUIT } else { Signal::SIGKILL };
            let _ = kill(Pid::from_raw(postmaster), signal);
            thread::sleep(POLL_INTERVAL * 5);
        }
    }
}
