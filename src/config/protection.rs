//! Protection from abuse: rates, proof of work, the size and the life of a session, and the disk.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Reader;
use super::settings::Environment;

/// Bounds that keep one client from costing the others (`RATE_LIMIT*`, `TRUSTED_PROXIES`, `PROOF_OF_WORK`).
#[derive(Debug, Clone)]
pub struct ProtectionSettings {
    /// Whether rates and the shares of addresses are limited at all; off for benchmarks.
    pub rate_limit: bool,
    /// Whether the address of a client tells it apart from others.
    pub by_address: ByAddress,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// When creating a session requires proof of work.
    pub proof_of_work: ProofOfWork,
}

/// Whether limits count by the address of the client (`RATE_LIMIT_BY_ADDRESS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByAddress {
    /// For public addresses. Many people share a loopback or a private one: those of a Tor service, or of a proxy that is not
    /// trusted.
    Auto,
    /// For every address.
    On,
    /// For none.
    Off,
}

/// When creating a session requires proof of work (`PROOF_OF_WORK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofOfWork {
    /// While sessions are created at a high rate.
    Auto,
    /// Never.
    Off,
    /// Always.
    Always,
}

/// The bounds of one session (`SESSION_MAX_MESSAGES`, `SESSION_MAX_BYTES`).
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Messages, both the user's and the companion's.
    pub max_messages: i32,
    /// Bytes of all messages together, as they are stored.
    pub max_bytes: i64,
}

/// When a session ends (`SESSION_IDLE_TIMEOUT`, `SESSION_MAX_AGE`).
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// Seconds after its last use; a session may choose fewer. At most `max_age_seconds`.
    pub idle_timeout_seconds: i32,
    /// Seconds after its creation.
    pub max_age_seconds: i32,
    /// The time from one sweep of ended sessions to the next; `None` for no sweeps.
    pub sweep_interval: Option<Duration>,
}

/// The bounds of what is stored (`STORAGE_RESERVE`, `DB_MAX_BYTES`).
#[derive(Debug, Clone, Copy)]
pub struct StorageSettings {
    /// How much of the disk stays free, where the database's folder is on this machine.
    pub reserve: StorageReserve,
    /// Maximum size of the database in bytes, as `pg_database_size` counts them; `None` for no maximum.
    pub max_database_bytes: Option<u64>,
}

/// How much of the disk stays free (`STORAGE_RESERVE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageReserve {
    /// 5 percent of the disk or 1 GiB, the smaller one.
    Default,
    /// A percentage of the disk.
    Percent(u8),
    /// Bytes; 0 turns the check off.
    Bytes(u64),
}

impl fmt::Display for ProtectionSettings {
    /// For the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rate_limit {
            return formatter.write_str("off");
        }
        let by_address = match self.by_address {
            ByAddress::Auto => "public addresses",
            ByAddress::On => "every address",
            ByAddress::Off => "no address",
        };
        let proof_of_work = match self.proof_of_work {
            ProofOfWork::Auto => "in a flood",
            ProofOfWork::Off => "never",
            ProofOfWork::Always => "always",
        };
        write!(formatter, "on, for {by_address}; proof of work {proof_of_work}; trusted proxies ")?;
        let proxies: Vec<String> = self.trusted_proxies.iter().map(ToString::to_string).collect();
        formatter.write_str(if proxies.is_empty() { "none".to_owned() } else { proxies.join(", ") }.as_str())
    }
}

impl fmt::Display for SessionLimits {
    /// For the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {} messages and {} KiB each", self.max_messages, self.max_bytes >> 10)
    }
}

impl fmt::Display for RetentionSettings {
    /// For the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, max_age) = (self.idle_timeout_seconds, self.max_age_seconds);
        write!(formatter, "sessions end {idle} s after their last use, {max_age} s after their creation at the latest")
    }
}

pub(super) fn read_protection(reader: &mut Reader, environment: Environment) -> ProtectionSettings {
    use ByAddress::{Auto, Off, On};
    let proof_of_work = [("auto", ProofOfWork::Auto), ("off", ProofOfWork::Off), ("always", ProofOfWork::Always)];
    let rate_limit = reader.choice("RATE_LIMIT", &[("on", true), ("off", false)]);
    let proof_of_work = reader.choice("PROOF_OF_WORK", &proof_of_work);
    if environment == Environment::Production && !rate_limit {
        let text = "RATE_LIMIT is off: one client can refuse the service to all others";
        reader.warnings.push(text.to_owned());
    } else if environment == Environment::Production && proof_of_work == ProofOfWork::Off {
        let text = "PROOF_OF_WORK is off: one client can create sessions without end, and fill the disk";
        reader.warnings.push(text.to_owned());
    }
    if !rate_limit && proof_of_work == ProofOfWork::Always {
        reader.warn_unused(&["PROOF_OF_WORK"], "RATE_LIMIT is off");
    }
    ProtectionSettings {
        rate_limit,
        by_address: reader.choice("RATE_LIMIT_BY_ADDRESS", &[("auto", Auto), ("on", On), ("off", Off)]),
        trusted_proxies: read_networks(reader, "TRUSTED_PROXIES"),
        proof_of_work,
    }
}

pub(super) fn read_session_limits(reader: &mut Reader) -> SessionLimits {
    SessionLimits {
        max_messages: reader.number("SESSION_MAX_MESSAGES", 2..=1_000_000),
        // The least has room for three of the longest turns.
        max_bytes: reader.number("SESSION_MAX_BYTES", 524_288..=1_073_741_824),
    }
}

/// From a minute, in which a person writes a message, to a year: every session ends.
const RETENTION_SECONDS: RangeInclusive<i32> = 60..=366 * 24 * 3600;

/// The time from one sweep to the next.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn read_retention(reader: &mut Reader) -> RetentionSettings {
    let max_age_seconds = read_end(reader, "SESSION_MAX_AGE");
    let mut idle_timeout_seconds = read_end(reader, "SESSION_IDLE_TIMEOUT");
    if idle_timeout_seconds > max_age_seconds {
        // A timeout that was set contradicts the age; the default timeout is lowered.
        if reader.set("SESSION_IDLE_TIMEOUT").is_some() {
            let problem = format_args!("{idle_timeout_seconds} is more than SESSION_MAX_AGE, {max_age_seconds}");
            reader.problem("SESSION_IDLE_TIMEOUT", problem);
        }
        idle_timeout_seconds = max_age_seconds;
    }
    RetentionSettings { idle_timeout_seconds, max_age_seconds, sweep_interval: Some(SWEEP_INTERVAL) }
}

/// Seconds until the end of a session. 0 means never to many programs, so it has a refusal of its own.
fn read_end(reader: &mut Reader, name: &str) -> i32 {
    if reader.set(name).is_some_and(|text| text.parse() == Ok(0)) {
        let (min, max) = (RETENTION_SECONDS.start(), RETENTION_SECONDS.end());
        reader.unusable(name, format_args!("0 does not mean never, every session ends; set {min} to {max} seconds"));
    }
    reader.number(name, RETENTION_SECONDS)
}

pub(super) fn read_storage(reader: &mut Reader) -> StorageSettings {
    StorageSettings {
        reserve: read_reserve(reader),
        max_database_bytes: reader.optional_number("DB_MAX_BYTES", 1_048_576..=u64::MAX),
    }
}

/// The reserve in bytes, if it is not 0: from 1 MiB, since less is a percentage without its sign, to 1 PiB.
const RESERVE_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 50;

fn read_reserve(reader: &mut Reader) -> StorageReserve {
    let Some(text) = reader.set("STORAGE_RESERVE") else { return StorageReserve::Default };
    let reserve = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|percent| *percent < 100).map(StorageReserve::Percent),
        None => {
            text.parse().ok().filter(|bytes| *bytes == 0 || RESERVE_BYTES.contains(bytes)).map(StorageReserve::Bytes)
        }
    };
    reserve.unwrap_or_else(|| {
        let form = "is neither 0, a number of bytes from 1048576 to 1125899906842624, nor a percentage from 0% to 99%";
        reader.problem("STORAGE_RESERVE", format_args!("\"{text}\" {form}"));
        StorageReserve::Default
    })
}

/// Networks separated by commas, each an address or an address with the length of its prefix.
fn read_networks(reader: &mut Reader, name: &str) -> Vec<IpNet> {
    let text = reader.text(name);
    let mut networks = Vec::new();
    for network in text.split(',').map(str::trim).filter(|network| !network.is_empty()) {
        let network = network.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(network);
        match network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => {
                let form = "is not an address such as 127.0.0.1, or a network such as 10.0.0.0/8";
                reader.problem(name, format_args!("\"{network}\" {form}"));
            }
        }
    }
    networks
}
