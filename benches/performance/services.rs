//! The services under test: each a process of its own with a database of its own, killed when it goes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::database::{OWNER, Postgres};
use crate::load;
use crate::processes;
use crate::results::Sample;
use crate::sessions::Sessions;
use crate::work::{Case, Subjects};
use crate::{Outcome, Stop};

pub(crate) const SAFESPACE: &str = "SafeSpace";

/// No answer takes this long, nor does a service to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a service may go on after a load, and how long it does nothing when that is over.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// Lines of what a service said that go into an error.
const LINES_IN_ERROR: usize = 5;

pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether it is so slow that fewer rounds and ids are enough.
    pub(crate) slow: bool,
    pub(crate) sessions: Sessions,
    process: Process,
    folder: PathBuf,
}

/// A process that listens, with all that it starts.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts it and waits until it answers. These are the sessions in its database.
    pub(crate) fn start(
        postgres: &Postgres,
        name: &str,
        sessions: Sessions,
        command: impl Fn(SocketAddr) -> Command,
        stop: &Stop,
    ) -> Outcome<Service> {
        let words = postgres.folder().join("words");
        let mut process = Process::spawn(command, File::create(&words)?.into())?;
        let deadline = Instant::now() + PATIENCE;
        while !is_well(process.address, "/") {
            stop.check()?;
            if Instant::now() > deadline || process.child.try_wait()?.is_some() {
                let words = fs::read_to_string(&words)?;
                let lines: Vec<&str> = words.lines().collect();
                let end = lines[lines.len().saturating_sub(LINES_IN_ERROR)..].join("; ");
                return Err(format!("{name} does not answer: {end}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let folder = postgres.folder().to_owned();
        Ok(Service { name: name.to_owned(), slow: false, sessions, process, folder })
    }

    /// Puts it under a load, for which sessions are chosen first.
    pub(crate) fn measure(&mut self, case: Case, seconds: u64) -> Outcome<Sample> {
        let wanted = case.work.subjects(case.connections, seconds, self.slow);
        let ids = self.sessions.subjects(&wanted)?;
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
            turns: matches!(wanted, Subjects::New(_)).then_some(report.requests / ids.len() as f64),
            processor: Some(spent / report.requests.max(1.0)),
            resident: Some(resident),
        })
    }

    /// Waits until it has done what its clients went away from, which would otherwise disturb the next service.
    fn settle(&self) {
        let deadline = Instant::now() + SETTLE_PATIENCE;
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
    /// Starts a program on a free port, in a group of its own: Ctrl-C must not end it before the bench ends it, and
    /// what it starts has to end with it.
    pub(crate) fn spawn(command: impl Fn(SocketAddr) -> Command, words: Stdio) -> Outcome<Process> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words).process_group(0);
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

/// Whether it answers with 200.
pub(crate) fn is_well(address: SocketAddr, path: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 13];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
}

/// SafeSpace in its default configuration, but for what it must be told. No peer logs, so it does not log either.
pub(crate) fn safespace(postgres: &Postgres, database: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_safespace"));
    let sockets = postgres.sockets().display().to_string().replace('/', "%2F");
    // There is no .env in that folder.
    command.current_dir(postgres.folder()).env_clear().env("LOG_LEVEL", "warn");
    command.env("DATABASE_URL", format!("postgres://{OWNER}@{sockets}/{database}"));
    command.env("APP_HOST", address.ip().to_string()).env("APP_PORT", address.port().to_string());
    command
}
