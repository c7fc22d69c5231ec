//! Whether PostgreSQL keeps what it acknowledged, and who can listen on the way to it.

use super::checks;
use super::facts::Facts;
use crate::config::SslMode;
use crate::doctor::finding::Report;
use crate::store::LossRisk;

/// The network between the service and PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    /// Whether PostgreSQL is on this machine.
    pub(super) is_local: bool,
    /// The mode of `DB_SSLMODE`.
    pub(super) ssl_mode: SslMode,
}

pub(super) fn judge(facts: &Facts, network: Network, report: &mut Report) {
    let settings = &facts.settings;
    if settings.is("fsync", "off") {
        report.find(checks::FSYNC, "fsync is off");
    }
    if settings.is("full_page_writes", "off") {
        report.find(checks::FULL_PAGE_WRITES, "full_page_writes is off");
    }
    match facts.risk {
        _ if settings.is("synchronous_commit", "off") => {
            report.find(checks::SYNCHRONOUS_COMMIT, "synchronous_commit is off");
        }
        Some(LossRisk::CommitsLocal) => {
            report.find(checks::SYNCHRONOUS_COMMIT, "synchronous_commit is local, and there are standbys");
        }
        Some(LossRisk::NoSynchronousStandby) => {
            report.find(checks::STANDBY, "there are standbys, and none is synchronous");
        }
        Some(LossRisk::NotFlushed | LossRisk::CommitsOff) | None => {}
    }
    if settings.is("data_checksums", "off") {
        report.find(checks::DATA_CHECKSUMS, "data_checksums is off");
    }
    if network.is_local {
        return;
    }
    match &facts.findings.tls {
        None => report.find(checks::TLS, "PostgreSQL is on another machine, and the connection has no TLS"),
        Some(version) if network.ssl_mode < SslMode::VerifyFull => report.find(
            checks::SSL_MODE,
            format_args!("the connection has {version}, and the server's certificate is not checked for its name"),
        ),
        Some(_) => {}
    }
}
