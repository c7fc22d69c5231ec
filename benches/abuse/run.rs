//! Runs one attack: a new service on a new database, attackers and victims at the same time, and the memory around it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use safespace::session_id::SessionId;

use crate::attack::{Attack, Attacker, Limits, Tally};
use crate::database::Database;
use crate::model;
use crate::settings::Settings;
use crate::sockets;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::{self, PROGRAM, Process};
use crate::support::processes;
use crate::support::stop::StopSignal;
use crate::victims::{Act, Experience, Victims};

/// The database of the attack that runs.
const DATABASE: &str = "attacked";

/// Seconds of requests before an attack, so that the memory before it includes that of use.
const WARM_UP_SECONDS: u64 = 2;

/// From the end of an attack to the reading of the memory that stays: longer than its turns take (12 s), and their threads
/// live without work (10 s).
pub(crate) const REST: Duration = Duration::from_secs(24);

/// The memory after an attack may exceed that before it by so much.
const MAX_GROWTH_MIB: f64 = 40.0;

/// Stack of an attacker's thread.
const STACK_BYTES: usize = 256 * 1024;

/// What one attack did.
pub(crate) struct Measured {
    pub(crate) attack: &'static Attack,
    pub(crate) limits: Limits,
    pub(crate) experiences: Vec<Experience>,
    pub(crate) attackers: Tally,
    /// Resident MiB before, at the peak, and some seconds after.
    pub(crate) resident: [f64; 3],
    /// MiB of the kernel's memory for the sockets of the machine, at the peak.
    pub(crate) socket_memory: f64,
    /// MiB per second by which the database grew, and of the write-ahead log.
    pub(crate) written: [f64; 2],
}

impl Measured {
    pub(crate) fn meets_goals(&self) -> bool {
        self.missed().is_empty()
    }

    /// The goals that are missed.
    pub(crate) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for experience in &self.experiences {
            let act = experience.victims.act;
            let is_goal = act != Act::Message || !self.attack.answers_by_address || self.limits == Limits::ByAddress;
            if is_goal && experience.share() < act.min_share() {
                missed.push(format!("{} below {:.0} %", act.name(), 100.0 * act.min_share()));
            }
            let p99 = experience.percentile_ms(99.0).filter(|_| act == Act::Delete);
            if let (Some(p99), Some(max)) = (p99, self.attack.max_delete_ms)
                && p99 >= max
            {
                missed.push(format!("p99 of delete not below {max} ms"));
            }
        }
        let max_stored = self.attack.max_stored.filter(|_| self.limits != Limits::Off);
        if let Some(max) = max_stored.filter(|max| self.written[0] > *max) {
            missed.push(format!("more than {max} MiB/s are stored"));
        }
        if self.resident[2] - self.resident[0] > MAX_GROWTH_MIB {
            missed.push(format!("more than {MAX_GROWTH_MIB} MiB stay"));
        }
        missed
    }
}

pub(crate) fn run(
    settings: &Settings,
    postgres: &Postgres,
    attack: &'static Attack,
    limits: Limits,
    stop: &StopSignal,
) -> Outcome<Measured> {
    let seconds = settings.seconds.map_or(attack.seconds, |seconds| seconds.min(attack.seconds));
    let model = model::start()?;
    recreate_database(postgres)?;
    let command = |address: SocketAddr| {
        let mut command = process::command(Path::new(PROGRAM), postgres, DATABASE, address, "warn");
        command.envs(model::variables(&model)).envs(limits.variables().iter().copied());
        command
    };
    let service = Process::start(postgres.folder(), DATABASE, command, stop)?;
    let mut database = Database { client: postgres.client(DATABASE)?, seconds };
    let attackers = (attack.prepare)(&mut database)?;
    let victims = attack.victims.iter().map(|victims| {
        let sessions = victims.sessions(&mut database, seconds)?;
        Ok((*victims, sessions, victims.sessions(&mut database, WARM_UP_SECONDS)?))
    });
    let victims = victims.collect::<Outcome<Vec<_>>>()?;
    // Without it, PostgreSQL plans without statistics, and autovacuum and a checkpoint run during the attack.
    database.client.batch_execute("VACUUM (ANALYZE) sessions, messages, reports")?;
    database.client.batch_execute("CHECKPOINT")?;
    for (kind, _, warm_up) in &victims {
        kind.run(service.address, warm_up, Duration::from_secs(WARM_UP_SECONDS), stop);
    }
    service.settle();
    let before = service.resident();
    let (started, written_before) = (Instant::now(), database.written()?);
    let victims: Vec<_> = victims.iter().map(|(kind, sessions, _)| (*kind, sessions.as_slice())).collect();
    let (experiences, attackers, socket_memory) = fight(service.address, attackers, &victims, seconds, stop)?;
    stop.check()?;
    let (elapsed, written_after) = (started.elapsed().as_secs_f64(), database.written()?);
    let written = [0, 1].map(|index| (written_after[index] - written_before[index]) / elapsed);
    let rested = Instant::now() + REST;
    while Instant::now() < rested {
        stop.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    let peak = processes::memory(service.id(), "VmHWM:").unwrap_or_default();
    let resident = [before, peak, service.resident()];
    Ok(Measured { attack, limits, experiences, attackers, resident, socket_memory, written })
}

/// An empty database. The one before is removed with all that an attack has written.
fn recreate_database(postgres: &Postgres) -> Outcome<()> {
    postgres.client(OWNER)?.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
    postgres.create_database(DATABASE)
}

/// Attackers and victims at the same time, and the memory for sockets meanwhile. The attack goes on until the last victim has
/// an answer.
fn fight(
    address: SocketAddr,
    attackers: Vec<Attacker>,
    victims: &[(Victims, &[SessionId])],
    seconds: u64,
    stop: &StopSignal,
) -> Outcome<(Vec<Experience>, Tally, f64)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let socket_memory = scope.spawn(|| sockets::peak_memory(&is_over));
        let is_over = &is_over;
        let attackers = scope.spawn(move || attack(address, attackers, is_over));
        let run = |&(kind, sessions): &(Victims, _)| {
            scope.spawn(move || kind.run(address, sessions, Duration::from_secs(seconds), stop))
        };
        let victims: Vec<_> = victims.iter().map(run).collect();
        let experiences = victims.into_iter().filter_map(|victims| victims.join().ok()).collect();
        is_over.store(true, Ordering::Relaxed);
        let tally = attackers.join().unwrap_or_else(|_| Err("an attacker panicked".to_owned()));
        Ok((experiences, tally?, socket_memory.join().unwrap_or_default()))
    })
}

/// Runs attackers, a thread each, until the attack is over. They have the lowest priority: on a machine of their own they would
/// take no processor time from the service and its database.
fn attack(address: SocketAddr, attackers: Vec<Attacker>, is_over: &AtomicBool) -> Result<Tally, String> {
    lower_priority().map_err(|error| format!("renice: {error}"))?;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for attacker in attackers {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            let thread = builder.spawn_scoped(scope, move || attacker(address, is_over));
            threads.push(thread.map_err(|error| error.to_string())?);
        }
        Ok(threads.into_iter().filter_map(|thread| thread.join().ok()).fold(Tally::default(), Tally::add))
    })
}

/// Gives this thread, and those that it starts, the lowest priority (Linux; POSIX has one for a process).
fn lower_priority() -> io::Result<()> {
    let thread = fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().unwrap_or_default();
    let status = Command::new("renice").args(["-n", "19", "-p"]).arg(id).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}
