//! The private server's process: started, waited for, kept running, stopped.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, NoTls};

use super::binaries::Binaries;
use super::folder::{CLUSTER, Folder, SOCKETS};
use super::{NAME, POLL_INTERVAL, PrivateError};

/// After a crash PostgreSQL replays its log before it answers; most often this takes less than a second.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How long the processes of a server that was killed may take to be gone.
const LINGERING_PATIENCE: Duration = Duration::from_secs(10);

/// How long each way of stopping it may take before the next, harsher one.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How often the server is looked at while it runs.
const KEEP_INTERVAL: Duration = Duration::from_millis(250);

/// The same for one that ends again and again, and when it counts as staying.
const MAX_KEEP_INTERVAL: Duration = Duration::from_secs(30);
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// A server that was started; its owner and the thread that keeps it running share it.
pub(super) struct Process {
    pub(super) folder: Folder,
    pub(super) binaries: Binaries,
    settings: Vec<String>,
    child: Mutex<Child>,
    stopping: AtomicBool,
}

impl Process {
    /// Starts the server. `settings` are passed on as `name=value`.
    pub(super) fn start(folder: Folder, binaries: Binaries, settings: &[String]) -> Result<Process, PrivateError> {
        let child = Mutex::new(spawn(&binaries, &folder, settings)?);
        Ok(Process { folder, binaries, settings: settings.to_vec(), child, stopping: AtomicBool::new(false) })
    }

    /// The id of its process.
    pub(super) fn id(&self) -> u32 {
        self.child().id()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it answers, and sees to it that the database is there.
    pub(super) fn wait_until_ready(&self, stop: &AtomicBool) -> Result<(), PrivateError> {
        let started = Instant::now();
        let mut maintenance = postgres::Config::new();
        maintenance.host_path(self.folder.path.join(SOCKETS)).user(NAME).dbname("postgres");
        loop {
            let ended = self.child().try_wait().ok().flatten();
            if let Some(status) = ended {
                if !self.folder.killed_server_lingers() || started.elapsed() > LINGERING_PATIENCE {
                    let log = self.folder.end_of_log();
                    return Err(PrivateError::Failed(format!("PostgreSQL ended while starting ({status}): {log}")));
                }
                *self.child() = spawn(&self.binaries, &self.folder, &self.settings)?;
            } else if let Ok(client) = maintenance.connect(NoTls) {
                return make_database(client)
                    .map_err(|error| PrivateError::Failed(format!("creating the database: {error}")));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(PrivateError::Interrupted);
            }
            if started.elapsed() > START_DEADLINE {
                let (limit, log) = (START_DEADLINE.as_secs(), self.folder.end_of_log());
                return Err(PrivateError::Failed(format!("PostgreSQL did not answer within {limit} s: {log}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts the server again whenever it ends without having been asked to, more and more slowly if it does not stay.
    pub(super) fn keep(&self) {
        let mut wait = KEEP_INTERVAL;
        let mut begun = Instant::now();
        loop {
            thread::park_timeout(wait);
            let mut child = self.child();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(Some(status)) = child.try_wait() else {
                if begun.elapsed() > STEADY_AFTER {
                    wait = KEEP_INTERVAL;
                }
                continue;
            };
            if wait == KEEP_INTERVAL {
                log::error!(status:% = status, log = self.folder.end_of_log().as_str(); "The private PostgreSQL ended; starting it again");
            }
            wait = (wait * 2).min(MAX_KEEP_INTERVAL);
            begun = Instant::now();
            match spawn(&self.binaries, &self.folder, &self.settings) {
                Ok(again) => *child = again,
                Err(error) => log::error!(reason:% = error; "The private PostgreSQL cannot be started"),
            }
        }
    }

    /// Asks the server to stop, and ends it in harsher ways if it does not. No data is lost in any of them.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut child = self.child();
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            if send(signal, &mut child).is_err() {
                return;
            }
            let deadline = Instant::now() + STOP_PATIENCE;
            while Instant::now() < deadline {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
            log::warn!(signal = signal.as_str(); "The private PostgreSQL did not stop");
        }
    }

    /// Asks the server to stop without waiting for it.
    pub(super) fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Whoever holds the child for longer is stopping it already.
        for _ in 0..10 {
            if let Ok(mut child) = self.child.try_lock() {
                let _ = send(Signal::SIGINT, &mut child);
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Sends a signal to a child that still runs; the id of one that was waited for may be another's by now.
fn send(signal: Signal, child: &mut Child) -> nix::Result<()> {
    match (child.try_wait(), child.id().try_into()) {
        (Ok(None), Ok(process)) => kill(Pid::from_raw(process), signal),
        _ => Err(nix::Error::ESRCH),
    }
}

fn spawn(binaries: &Binaries, folder: &Folder, settings: &[String]) -> Result<Child, PrivateError> {
    let fixed = [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        // What PostgreSQL writes about an error must not quote the statement or the row.
        "log_min_error_statement=panic",
        "log_error_verbosity=terse",
    ];
    let mut command = folder.run(&binaries.folder.join("postgres"));
    command.args(["-D", CLUSTER]).arg("-c").arg(format!("unix_socket_directories={}", folder.socket_folder()));
    for setting in fixed.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    let log = folder.log()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // Ctrl-C goes to the whole group of the terminal: the server must outlive the requests in flight.
    command.process_group(0);
    command.spawn().map_err(|error| PrivateError::Failed(format!("cannot start postgres: {error}")))
}

fn make_database(mut client: Client) -> Result<(), postgres::Error> {
    let exists = client.query_typed(&format!("SELECT FROM pg_database WHERE datname = '{NAME}'"), &[])?;
    if exists.is_empty() {
        client.batch_execute(&format!("CREATE DATABASE {NAME}"))?;
    }
    Ok(())
}
