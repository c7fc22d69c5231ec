//! The services under test: each is a process with a database of its own, killed when dropped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::database::{OWNER, Postgres};
use crate::load;
use crate::outcome::Outcome;
use crate::processes;
use crate::results::Sample;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::stop::StopSignal;
use crate::workload::{Case, SessionChoice};

pub(crate) const SAFESPACE: &str = "SafeSpace";

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_safespace");

/// Bound on one response and on the start of a service.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Bound on the wait until a service is idle after a load; it is idle when it spends no processor time for an interval.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// Lines of a service's standard error that go into an error of the bench.
const LOG_LINES_IN_ERROR: usize = 5;

pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether it is so slow that fewer rounds and ids suffice.
    pub(crate) slow: bool,
    pub(crate) sessions: Sessions,
    process: Process,
    folder: PathBuf,
}

/// A listening process, in a process group with its descendants.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts it and waits until `GET /` returns 200. `sessions` are those of its database.
    pub(crate) fn start(
        postgres: &Postgres,
        name: &str,
        sessions: Sessions,
        command: impl Fn(SocketAddr) -> Command,
        stop: &StopSignal,
    ) -> Outcome<Service> {
        let log = postgres.folder().join(format!("{name}.log"));
        let mut process = Process::spawn(command, File::create(&log)?.into())?;
        let deadline = Instant::now() + TIMEOUT;
        while !is_ok(process.address, "/") {
            stop.check()?;
            if Instant::now() > deadline || process.child.try_wait()?.is_some() {
                let log = fs::read_to_string(&log)?;
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(LOG_LINES_IN_ERROR)..].join("; ");
                return Err(format!("{name} does not respond: {end}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let folder = postgres.folder().to_owned();
        Ok(Service { name: name.to_owned(), slow: false, sessions, process, folder })
    }

    /// Chooses sessions, and runs the load on them once.
    pub(crate) fn measure(&mut self, case: Case, seconds: u64) -> Outcome<Sample> {
        let choice = case.workload.sessions(case.connections, seconds, self.slow);
        let ids = self.sessions.choose(&choice)?;
        let process = self.process.child.id();
        let before = processes::processor_time(process);
        let report = load::run(&self.folder, self.process.address, case, seconds, &ids)
            .map_err(|error| format!("{}: {error}", self.name))?;
        let spent = processes::processor_time(process) - before;
        let resident = processes::resident(process);
        self.settle();
        Ok(Sample {
            rate: report.rate,
            p50: Some(report.p50),
            p99: Some(report.p99),
            errors: report.errors,
            turns: matches!(choice, SessionChoice::New(_)).then_some(report.requests / ids.len() as f64),
            processor: Some(spent / report.requests.max(1.0)),
            resident: Some(resident),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        processes::resident(self.process.child.id())
    }

    /// Waits until it has finished requests that their clients abandoned, which would slow the next service.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let spent = || processes::processor_time(self.process.child.id());
        let mut before = spent();
        while Instant::now() < deadline {
            thread::sleep(SETTLE_INTERVAL);
            let now = spent();
            if now <= before {
                return;
            }
            before = now;
        }
    }
}

impl Process {
    /// Starts a program on a free port, in a process group of its own: Ctrl-C must not end it before the bench does, and
    /// its descendants have to end with it.
    pub(crate) fn spawn(command: impl Fn(SocketAddr) -> Command, stderr: Stdio) -> Outcome<Process> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Process { child, address })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Whether `GET` returns 200.
pub(crate) fn is_ok(address: SocketAddr, path: &str) -> bool {
    let request = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 13];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status)
    };
    request().is_ok_and(|status| status.starts_with(b"HTTP/1.1 200 "))
}

/// SafeSpace, or the baseline, in its default configuration except for addresses and the log level.
pub(crate) fn safespace(
    settings: &Settings,
    program: &Path,
    postgres: &Postgres,
    database: &str,
    address: SocketAddr,
) -> Command {
    let mut command = Command::new(program);
    let sockets = postgres.sockets().display().to_string().replace('/', "%2F");
    // That folder has no .env.
    command.current_dir(postgres.folder()).env_clear().env("LOG_LEVEL", &settings.log_level);
    command.env("RATE_LIMIT", "off");
    command.env("DATABASE_URL", format!("postgres://{OWNER}@{sockets}/{database}"));
    command.env("APP_HOST", address.ip().to_string()).env("APP_PORT", address.port().to_string());
    command
}
