//! The binary: exit codes, and the wait for a signal.

use std::fs;
use std::io::{self, Write as _};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use zeroizing_alloc::ZeroAlloc;

use safespace::app::{self, App, StartError};
use safespace::arguments::{Arguments, Command};
use safespace::check;
use safespace::config::Config;
use safespace::doctor::{self, Options, Severity};
use safespace::logging;
use safespace::memory;
use safespace::private_postgres::{self, NamedPrograms};
use safespace::verify_erasure::{self, Request, Wanted};

#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc as Allocator;

#[cfg(not(target_os = "linux"))]
use std::alloc::System as Allocator;

/// It overwrites each block that is freed, those that a growing vector leaves too. jemalloc's own `junk:free` leaves
/// these as they are.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Allocator> = ZeroAlloc(Allocator);

/// Exit code for arguments or a configuration that cannot be used.
const UNUSABLE: u8 = 2;

/// Exit code when a second signal ends the service before it has stopped in order: as of a program that SIGINT ends.
const ABORTED: i32 = 130;

fn main() -> ExitCode {
    // Before anything secret is read.
    if let Err(error) = memory::forbid_dumps() {
        let _ = writeln!(io::stderr(), "safespace: core dumps of its memory cannot be turned off: {error}");
        return ExitCode::from(UNUSABLE);
    }
    let arguments = Arguments::parse();
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(problems) => {
            let _ = writeln!(io::stderr(), "safespace: the configuration cannot be used:\n{problems}");
            return ExitCode::from(UNUSABLE);
        }
    };
    let log = logging::start(&config.log);
    match run(arguments.command.unwrap_or(Command::Serve), config) {
        Ok(code) => code,
        Err(error) => {
            log.write_line(format_args!("safespace: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, mut config: Config) -> Result<ExitCode, StartError> {
    match command {
        Command::Serve => match serve(&config) {
            // A service that is stopped while it starts has done what was asked.
            Err(StartError::Interrupted) => Ok(ExitCode::SUCCESS),
            result => result.map(|()| ExitCode::SUCCESS),
        },
        Command::Migrate { distributed } => {
            let stop = StopSignals::handle().map_err(StartError::Signals)?;
            config.pool.is_distributed |= distributed;
            let version = app::migrate(&config, &stop.asked)?;
            let distributed = if config.pool.is_distributed { ", and Citus distributes its tables" } else { "" };
            print(&format!("The schema is at version {version}{distributed}.\n"));
            Ok(ExitCode::SUCCESS)
        }
        Command::UpgradeData { delete_old: true, .. } => {
            for folder in app::delete_old_data(&config)? {
                print(&format!("Deleted {}.\n", folder.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::UpgradeData { old_bin, new_bin, .. } => {
            let stop = StopSignals::handle().map_err(StartError::Signals)?;
            let programs = NamedPrograms { old: old_bin, new: new_bin };
            let report = app::upgrade_data(&config, &programs, &stop.asked, &mut |line| print(&format!("{line}\n")))?;
            print(&format!("{report}\n"));
            Ok(ExitCode::SUCCESS)
        }
        Command::VerifyErasure { data_folder, without_data_folder, wal_archive, log, dump, json } => {
            let request =
                Request { data_folder, without_data_folder, wal_archives: wal_archive, logs: log, dumps: dump };
            Ok(verify_erasure(&config, &request, json))
        }
        Command::Doctor { json, public_url, logs } => {
            // Threads that wait for something that hangs end with the process.
            let report = doctor::examine(config, Options { public_url, logs });
            print(&if json { report.to_json() } else { report.to_text() });
            match report.count(Severity::Serious) {
                0 => Ok(ExitCode::SUCCESS),
                count => Err(StartError::SeriousFaults(count)),
            }
        }
        Command::Check { ask } => {
            let mut output = String::new();
            let result = check::check(&config, ask, &mut output);
            print(&output);
            result.map(|()| ExitCode::SUCCESS)
        }
    }
}

fn verify_erasure(config: &Config, request: &Request, as_json: bool) -> ExitCode {
    let wanted = match Wanted::read() {
        Ok(wanted) => wanted,
        Err(error) => {
            let _ = writeln!(io::stderr(), "safespace: {error}");
            return ExitCode::from(UNUSABLE);
        }
    };
    let findings = verify_erasure::verify(config, request, &wanted);
    print(&if as_json { format!("{}\n", findings.to_json()) } else { findings.to_string() });
    ExitCode::from(findings.exit_code())
}

fn serve(config: &Config) -> Result<(), StartError> {
    let stop = StopSignals::handle().map_err(StartError::Signals)?;
    let app = App::start(config, &stop.asked)?;
    if let Some(postgres) = &app.postgres {
        let _ = stop.on_abort.set(Box::new(postgres.stopper()));
    }
    print(&app.greeting());
    // An error means that the thread is gone, which ends the process too.
    let _ = stop.signals.recv();
    let delay = config.http.shutdown_delay;
    if !delay.is_zero() {
        log::info!(port_closes_after_s = delay.as_secs(); "Draining");
        app.drain();
        stop.pause(delay);
    }
    log::info!("Stopping");
    app.stop();
    log::info!("Stopped");
    Ok(())
}

/// Writes to standard output. Nobody may read it any more (`safespace check | head -1`), which must change no exit code,
/// and end neither the service nor an upgrade.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The signals: the first one asks the service to stop in order, the second one ends a pause, or else the process at once.
struct StopSignals {
    asked: Arc<AtomicBool>,
    /// The first signal, and the one that ends a pause.
    signals: mpsc::Receiver<()>,
    /// Whether the next signal ends a pause alone.
    is_paused: Arc<AtomicBool>,
    /// Called before the second signal ends the process.
    on_abort: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl StopSignals {
    fn handle() -> io::Result<StopSignals> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGQUIT])?;
        // A terminal that closes sends it: PostgreSQL must not outlive the service there either.
        if !is_hangup_ignored() {
            signals.add_signal(SIGHUP)?;
        }
        let (sender, receiver) = mpsc::channel();
        let stop = StopSignals {
            asked: Arc::default(),
            signals: receiver,
            is_paused: Arc::default(),
            on_abort: Arc::default(),
        };
        let (asked, is_paused, on_abort) = (stop.asked.clone(), stop.is_paused.clone(), stop.on_abort.clone());
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let is_repeated = asked.swap(true, Ordering::SeqCst);
                // A terminal that closes may send it more than once.
                if is_repeated && signal == SIGHUP {
                    continue;
                }
                if is_repeated && !is_paused.swap(false, Ordering::SeqCst) {
                    private_postgres::kill_programs();
                    if let Some(on_abort) = on_abort.get() {
                        on_abort();
                    }
                    log::logger().flush();
                    process::exit(ABORTED);
                }
                let _ = sender.send(());
            }
        })?;
        Ok(stop)
    }

    /// Waits for this long, or until the next signal.
    fn pause(&self, duration: Duration) {
        self.is_paused.store(true, Ordering::SeqCst);
        let _ = self.signals.recv_timeout(duration);
        self.is_paused.store(false, Ordering::SeqCst);
    }
}

/// Whether the service was started with `nohup`, which a handler would undo. Only Linux shows it in a file.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (SIGHUP - 1)) != 0
}
