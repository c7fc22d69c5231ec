//! Samples over time: what the service and PostgreSQL take of the machine.

use std::fs;
use std::path::Path;

use crate::flatness::Bound;
use crate::service::{Companion, Service};
use crate::support::processes;

const BYTES_PER_MIB: f64 = 1_048_576.0;

/// A value that is sampled.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// Whose it is: the service's, which differs by the companion, or PostgreSQL's.
    pub(crate) is_of_service: bool,
    pub(crate) bound: Bound,
    /// Its value now; no number while the process is away.
    read: fn(&Service) -> Option<f64>,
}

/// The bounds leave room for what differs by chance: threads of a burst of turns, a checkpoint, an autovacuum.
pub(crate) const SERIES: [Series; 6] = [
    Series {
        name: "resident memory in MiB",
        is_of_service: true,
        bound: Bound { percent: 20.0, absolute: 10.0 },
        read: |service| processes::memory(service.process()?, "VmRSS:"),
    },
    Series {
        name: "threads",
        is_of_service: true,
        bound: Bound { percent: 20.0, absolute: 15.0 },
        read: |service| processes::threads(service.process()?),
    },
    Series {
        name: "open descriptors",
        is_of_service: true,
        bound: Bound { percent: 20.0, absolute: 30.0 },
        read: |service| Some(fs::read_dir(format!("/proc/{}/fd", service.process()?)).ok()?.count() as f64),
    },
    Series {
        name: "memory of all processes in MiB (Pss)",
        is_of_service: false,
        bound: Bound { percent: 25.0, absolute: 40.0 },
        read: |service| {
            Some(processes::tree(service.postmaster()?).into_iter().filter_map(processes::proportional).sum())
        },
    },
    Series {
        name: "tables and indexes in MiB",
        is_of_service: false,
        bound: Bound { percent: 25.0, absolute: 16.0 },
        read: |service| Some(size(&service.cluster().join("base"))),
    },
    Series {
        name: "write-ahead log in MiB",
        is_of_service: false,
        bound: Bound { percent: 50.0, absolute: 64.0 },
        read: |service| Some(size(&service.cluster().join("pg_wal"))),
    },
];

/// The values of all series at one moment.
pub(crate) struct Sample {
    /// Minutes since the start.
    pub(crate) minute: f64,
    pub(crate) companion: Companion,
    pub(crate) values: [f64; SERIES.len()],
    /// Requests of people that were answered, and that were refused or got no answer, since the start.
    pub(crate) requests: [usize; 2],
}

impl Sample {
    pub(crate) fn take(service: &Service, minute: f64, [answered, refused, lost]: [usize; 3]) -> Sample {
        let values = SERIES.map(|series| (series.read)(service).unwrap_or(f64::NAN));
        Sample { minute, companion: service.companion, values, requests: [answered, refused + lost] }
    }
}

/// The bytes of the files below a folder, in MiB. A file that is removed meanwhile does not count.
fn size(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let found = entry.metadata().ok()?;
            Some(if found.is_dir() { size(&entry.path()) } else { found.len() as f64 / BYTES_PER_MIB })
        })
        .sum()
}
