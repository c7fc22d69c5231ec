//! The services under test: each is a process on a free port, killed when dropped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::outcome::Outcome;
use super::postgres::{OWNER, Postgres};
use super::processes;
use super::stop::StopSignal;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_safespace");

/// Bound on one response and on the start of a service.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Bound on the wait until a service is idle after a load; it is idle when it spends no processor time for an interval.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// Lines of a service's standard error that go into an error of the bench.
const LOG_LINES_IN_ERROR: usize = 5;

/// A listening process, in a process group with its descendants.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a service and waits until `GET /` returns 200. Its standard error goes to `NAME.log` in the folder.
    pub(crate) fn start(
        folder: &Path,
        name: &str,
        command: impl Fn(SocketAddr) -> Command,
        stop: &StopSignal,
    ) -> Outcome<Process> {
        let log = folder.join(format!("{name}.log"));
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
        Ok(process)
    }

    /// Starts a program on a free port, in a process group of its own: Ctrl-C must not end it before the bench does, and
    /// its descendants have to end with it.
    pub(crate) fn spawn(command: impl Fn(SocketAddr) -> Command, stderr: Stdio) -> Outcome<Process> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Process { child, address })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of the process and its descendants, in microseconds.
    pub(crate) fn processor_time(&self) -> f64 {
        processes::processor_time(self.id())
    }

    /// Resident memory of the process and its descendants, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        processes::resident(self.id())
    }

    /// Waits until it has finished requests that their clients abandoned, which would slow the next measurement.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut before = self.processor_time();
        while Instant::now() < deadline {
            thread::sleep(SETTLE_INTERVAL);
            let now = self.processor_time();
            if now <= before {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.id()) {
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

/// SafeSpace, or a baseline, in its default configuration except for addresses and the log level.
pub(crate) fn command(
    program: &Path,
    postgres: &Postgres,
    database: &str,
    address: SocketAddr,
    log_level: &str,
) -> Command {
    let mut command = Command::new(program);
    let sockets = postgres.sockets().display().to_string().replace('/', "%2F");
    // That folder has no .env.
    command.current_dir(postgres.folder()).env_clear().env("LOG_LEVEL", log_level);
    command.env("DATABASE_URL", format!("postgres://{OWNER}@{sockets}/{database}"));
    command.env("APP_HOST", address.ip().to_string()).env("APP_PORT", address.port().to_string());
    command
}
