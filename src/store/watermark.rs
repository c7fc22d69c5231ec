//! The watermark of the storage: stops creations and messages before the disk is full, since PostgreSQL needs room to erase.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;

use super::connector::Connector;
use super::storage::{Disk, ServerStorage};
use crate::config::{StorageReserve, StorageSettings};

/// How often the disk is measured. A flood of creations wrote 61 MiB/s: the smallest default reserve that lasts for an
/// interval is 31 MiB, that of a disk of 610 MiB.
const DISK_INTERVAL: Duration = Duration::from_millis(500);

/// The time for the server's answer: meanwhile the disk is not measured.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the server is asked for the size of the database: it looks at each of its files.
const DATABASE_INTERVAL: Duration = Duration::from_secs(2);

/// Writing resumes when a part of the bound more than the bound itself is free, so that a recycled segment of the
/// write-ahead log does not end it for a moment: an eighth of the reserve, a sixteenth of the maximum size.
const RESERVE_PARTS: u64 = 8;
const MAXIMUM_PARTS: u64 = 16;

/// Where the data folder of the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataLocation {
    /// On this machine.
    Local(PathBuf),
    /// On this machine, in a folder that the server names if the role may read it.
    AskServer,
    /// On another machine.
    Remote,
}

/// What was measured last; `None` for what is not watched or cannot be measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The disk of the data folder.
    pub disk: Option<Disk>,
    /// The size of the database in bytes.
    pub database_bytes: Option<u64>,
    /// Its maximum.
    pub max_database_bytes: Option<u64>,
}

impl Usage {
    /// Whether a bound is passed, given whether one was before.
    #[must_use]
    pub fn is_full(&self, was_full: bool) -> bool {
        let margin = |bound: u64, parts: u64| if was_full { bound / parts } else { 0 };
        let needed = |reserve: u64| reserve.saturating_add(margin(reserve, RESERVE_PARTS));
        let disk = self.disk.is_some_and(|Disk { free, reserve }| free < needed(reserve));
        let database = self.database_bytes.zip(self.max_database_bytes);
        disk || database.is_some_and(|(bytes, max)| bytes > max - margin(max, MAXIMUM_PARTS))
    }
}

impl fmt::Display for Usage {
    /// What is measured, for the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        if let Some(Disk { free, reserve }) = self.disk {
            write!(formatter, "{} MiB free on the disk, {} MiB reserved", mib(free), mib(reserve))?;
        }
        if let Some((bytes, max)) = self.database_bytes.zip(self.max_database_bytes) {
            let separator = if self.disk.is_some() { "; " } else { "" };
            write!(formatter, "{separator}database of {} MiB, at most {} MiB", mib(bytes), mib(max))?;
        }
        Ok(())
    }
}

/// Whether there is room for more rows. A thread measures it, so that a request reads a flag only, and neither a disk nor a
/// database that hangs delays it.
#[derive(Default)]
pub struct Watermark {
    full: AtomicBool,
    usage: Mutex<Usage>,
    closed: AtomicBool,
}

impl Watermark {
    /// Starts measuring against `settings`. The thread ends after [`Watermark::close`]; nothing waits for it.
    #[must_use]
    pub fn start(settings: &StorageSettings, location: DataLocation, connector: Connector) -> Arc<Watermark> {
        let watermark = Arc::new(Watermark::default());
        let is_off = settings.reserve == StorageReserve::Bytes(0);
        if location == DataLocation::Remote && !is_off {
            warn_without_disk(settings);
        }
        let location = if is_off { DataLocation::Remote } else { location };
        let connector = connector.with_statement_timeout(ASK_TIMEOUT);
        let mut probe =
            Probe { settings: *settings, location, connector, client: None, asked_at: None, disk_failed: false };
        let shared = watermark.clone();
        let thread = thread::Builder::new().name("watermark".to_owned()).spawn(move || {
            let mut full_since = None;
            while !shared.closed.load(Ordering::Relaxed) {
                let mut usage = *shared.usage.lock();
                probe.measure(&mut usage);
                *shared.usage.lock() = usage;
                shared.set_full(usage.is_full(full_since.is_some()), usage, &mut full_since);
                thread::sleep(DISK_INTERVAL);
            }
        });
        if let Err(error) = thread {
            log::error!(error:%; "The storage is not watched");
        }
        watermark
    }

    /// Whether creations and messages must be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// What was measured last.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *self.usage.lock()
    }

    /// Ends the measuring.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn set_full(&self, full: bool, usage: Usage, full_since: &mut Option<Instant>) {
        self.full.store(full, Ordering::Relaxed);
        match (full, *full_since) {
            (true, None) => {
                *full_since = Some(Instant::now());
                log::error!(usage:% = usage; "The storage is full: new sessions and messages are refused");
            }
            (false, Some(since)) => {
                *full_since = None;
                log::warn!(after_s = since.elapsed().as_secs(); "The storage has room again");
            }
            _ => {}
        }
    }
}

/// Measures the disk, and asks the server. Owned by the thread.
struct Probe {
    settings: StorageSettings,
    location: DataLocation,
    connector: Connector,
    /// A connection of its own, and since when: those of the pool are busy when it matters most.
    client: Option<(Client, Instant)>,
    asked_at: Option<Instant>,
    /// Whether the last measurement of the disk failed.
    disk_failed: bool,
}

impl Probe {
    fn measure(&mut self, usage: &mut Usage) {
        usage.max_database_bytes = self.settings.max_database_bytes;
        // The disk first, which no server can delay.
        self.measure_disk(usage);
        let must_ask = self.location == DataLocation::AskServer || self.settings.max_database_bytes.is_some();
        if must_ask && self.asked_at.is_none_or(|at| at.elapsed() >= DATABASE_INTERVAL) {
            self.asked_at = Some(Instant::now());
            // Without an answer what was measured before holds.
            if let Some(storage) = self.ask() {
                usage.database_bytes = Some(storage.database_bytes);
                if self.location == DataLocation::AskServer {
                    self.location = locate(storage.data_folder);
                    self.measure_disk(usage);
                    if self.location == DataLocation::Remote {
                        warn_without_disk(&self.settings);
                    }
                }
                if self.settings.max_database_bytes.is_none() {
                    self.client = None;
                }
            }
        }
    }

    fn measure_disk(&mut self, usage: &mut Usage) {
        let DataLocation::Local(folder) = &self.location else { return };
        let disk = Disk::measure(folder, self.settings.reserve);
        if disk.is_none() && !self.disk_failed {
            log::warn!("The disk of PostgreSQL cannot be measured: the last measurement holds");
        }
        self.disk_failed = disk.is_none();
        usage.disk = disk.or(usage.disk);
    }

    fn ask(&mut self) -> Option<ServerStorage> {
        if self.client.as_ref().is_none_or(|(_, opened_at)| self.connector.is_outdated(*opened_at)) {
            let opened_at = Instant::now();
            self.client = self.connector.connect().ok().map(|client| (client, opened_at));
        }
        let (client, _) = self.client.as_mut()?;
        let answer = ServerStorage::ask(client);
        if answer.is_err() {
            self.client = None;
        }
        answer.ok()
    }
}

/// The folder that the server named, if it is on this machine.
fn locate(folder: Option<PathBuf>) -> DataLocation {
    folder.filter(|folder| folder.exists()).map_or(DataLocation::Remote, DataLocation::Local)
}

fn warn_without_disk(settings: &StorageSettings) {
    if settings.max_database_bytes.is_none() {
        log::warn!(
            "The disk of PostgreSQL cannot be measured, and DB_MAX_BYTES is not set: nothing stops a flood of rows before the disk is full"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Config, Database};

    #[test]
    fn a_reserve_of_any_size_does_not_overflow() {
        let usage = Usage { disk: Some(Disk { free: 1, reserve: u64::MAX }), ..Usage::default() };
        assert!(usage.is_full(true));
    }

    #[test]
    fn the_last_measurement_of_the_disk_holds_while_it_cannot_be_measured() {
        let config = Config::from_variables(&HashMap::from([("DB_PASSWORD".to_owned(), "secret".to_owned())]));
        let config = config.expect("a configuration");
        let Database::Server(server) = &config.database else { panic!("a private PostgreSQL") };
        let mut probe = Probe {
            settings: config.storage,
            // A relative folder has no parent that exists always.
            location: DataLocation::Local("no-such-folder".into()),
            connector: Connector::new(server, &config.pool, config.pool.query_timeout).expect("a connector"),
            client: None,
            asked_at: None,
            disk_failed: false,
        };
        let mut usage = Usage { disk: Some(Disk { free: 1, reserve: 2 }), ..Usage::default() };
        probe.measure(&mut usage);
        assert!(probe.disk_failed && usage.is_full(false), "{usage:?}");
        probe.location = DataLocation::Local("src".into());
        probe.measure(&mut usage);
        assert!(!probe.disk_failed && usage.disk != Some(Disk { free: 1, reserve: 2 }), "{usage:?}");
    }

    #[test]
    fn writing_resumes_only_with_a_margin_above_the_bound() {
        let disk = |free| Usage { disk: Some(Disk { free, reserve: 800 }), ..Usage::default() };
        let database =
            |bytes| Usage { database_bytes: Some(bytes), max_database_bytes: Some(1600), ..Usage::default() };
        for (usage, was_full, is_full) in [
            (disk(800), false, false),
            (disk(799), false, true),
            (disk(899), true, true),
            (disk(900), true, false),
            (database(1600), false, false),
            (database(1601), false, true),
            (database(1501), true, true),
            (database(1500), true, false),
            (Usage { disk: disk(799).disk, ..database(1) }, false, true),
            (Usage::default(), true, false),
        ] {
            assert_eq!(usage.is_full(was_full), is_full, "{usage:?}, full before: {was_full}");
        }
    }
}
