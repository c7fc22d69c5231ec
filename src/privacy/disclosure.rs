//! Computes the promise from the parts that are in use.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::Utc;

use super::promise::{
    AddressPromise, CompanionKind, CompanionPromise, DatabaseKind, DeletionPromise, HelpLinesPromise, HostClass,
    LimitsPromise, LogPromise, LoggedRequests, MetricsPromise, PagePromise, Promise, ReportTextsPromise,
    RetentionPromise, SealingPromise, StoragePromise, TextSource,
};
use super::stored::COLUMNS;
use crate::admission::{BURST, PER_MINUTE, Rules};
use crate::companion::ModelHost;
use crate::config::RetentionSettings;
use crate::metrics::Metrics;
use crate::peers::{IPV4_PREFIX_BYTES, IPV6_PREFIX_BYTES, KEY_LIFETIME, Location};
use crate::resources::Registry;
use crate::retention::MIN_IDLE_TIMEOUT_SECONDS;
use crate::store::MAX_SECONDS_UNTIL_CERTAIN;
use crate::turns::Turns;
use crate::web::Site;

/// What no log has, at any level.
const NEVER_LOGGED: &[&str] = &["session_id", "recovery_code", "message", "report", "address", "idempotency_key"];

const REQUEST_FIELDS: &[&str] = &["method", "route", "status", "duration_ms", "request_id", "cause"];

const COUNTS: &[&str] =
    &["requests", "refusals", "answers", "danger", "sessions", "database", "storage", "help_lines", "service"];

/// The parts that are in use, and what of the configuration the promise needs besides.
pub struct Disclosure {
    /// For the companion that answers.
    pub turns: Arc<Turns>,
    /// For how late the sweeps are.
    pub metrics: Arc<Metrics>,
    /// When a session ends.
    pub retention: RetentionSettings,
    /// The rules by which requests are admitted.
    pub rules: Rules,
    /// The help lines.
    pub help_lines: Arc<Registry>,
    /// Days for which the verification of a help line holds.
    pub help_lines_max_age_days: u32,
    /// Whether a lawyer or counsellor has reviewed the texts of reports.
    pub has_reviewed_reports: bool,
    /// Which texts are the operator's.
    pub replaced: ReplacedTexts,
    /// The page; `None` if there is none.
    pub site: Option<Arc<Site>>,
    /// Where a person can leave to.
    pub exit_urls: Vec<String>,
    /// Where the metrics are served; `None` if they are not.
    pub metrics_address: Option<IpAddr>,
    /// Whether the database is the service's own.
    pub has_private_database: bool,
}

/// Which texts a file of the operator has in the place of the embedded ones.
#[derive(Debug, Clone, Copy)]
pub struct ReplacedTexts {
    /// The replies of the script.
    pub script: bool,
    /// The system prompt of the model.
    pub prompt: bool,
    /// The help lines.
    pub help_lines: bool,
    /// The texts of reports.
    pub reports: bool,
}

impl Disclosure {
    /// The promise as it holds at this moment. `logged`: which requests have a line in the log. It waits for nothing.
    #[must_use]
    pub fn promise(&self, logged: LoggedRequests) -> Promise {
        let model = self.turns.companion().model_host();
        Promise {
            version: env!("CARGO_PKG_VERSION"),
            retention: self.retention(),
            sealing: SealingPromise {
                cipher: "XChaCha20-Poly1305",
                key_derivation: "HKDF-SHA256",
                key_from: "session_id",
                server_key: false,
                end_to_end: false,
            },
            storage: StoragePromise {
                database: if self.has_private_database { DatabaseKind::Private } else { DatabaseKind::Server },
                columns: COLUMNS,
            },
            deletion: deletion(model.is_some()),
            companion: self.companion(model),
            log: LogPromise {
                level: log::max_level().as_str().to_lowercase(),
                requests: logged,
                request_fields: if logged == LoggedRequests::None { &[] } else { REQUEST_FIELDS },
                never: NEVER_LOGGED,
            },
            metrics: MetricsPromise {
                reachable_from: HostClass::from(self.metrics_address.map(Location::of)),
                counts: COUNTS,
                never_by: &["session", "address"],
            },
            addresses: AddressPromise {
                hashed: self.rules.distinct.into(),
                ipv4_prefix_bits: 8 * IPV4_PREFIX_BYTES,
                ipv6_prefix_bits: 8 * IPV6_PREFIX_BYTES,
                key_lifetime_seconds: KEY_LIFETIME.as_secs(),
                stored: false,
                logged: false,
            },
            limits: self.limits(),
            help_lines: self.help_lines(),
            reports: ReportTextsPromise {
                source: TextSource::of(self.replaced.reports),
                reviewed: self.has_reviewed_reports,
            },
            page: self.site.as_ref().map(|site| PagePromise {
                exit_url: site.exit_url.clone(),
                replaced: site.replaced.clone(),
                frames: site.embed_origins.clone(),
            }),
            exit_urls: self.exit_urls.clone(),
        }
    }

    fn companion(&self, model: Option<ModelHost>) -> CompanionPromise {
        let script = TextSource::of(self.replaced.script);
        let Some(model) = model else {
            return CompanionPromise {
                kind: CompanionKind::Script,
                person: false,
                script,
                prompt: None,
                host_class: HostClass::None,
                host: None,
                encrypted: None,
                sends: &[],
                max_chars: None,
                asks_not_to_store: None,
            };
        };
        CompanionPromise {
            kind: CompanionKind::Model,
            person: false,
            script,
            prompt: Some(TextSource::of(self.replaced.prompt)),
            host_class: HostClass::from(Some(model.location)),
            host: Some(model.name),
            encrypted: Some(model.is_encrypted),
            sends: &["conversation", "system_prompt", "report_sentences"],
            max_chars: Some(model.max_chars),
            asks_not_to_store: Some(model.asks_not_to_store),
        }
    }

    fn retention(&self) -> RetentionPromise {
        let RetentionSettings { idle_timeout_seconds, max_age_seconds, sweep_interval } = self.retention;
        let interval = sweep_interval.map(|interval| i32::try_from(interval.as_secs()).unwrap_or(i32::MAX));
        let overdue_seconds = self.metrics.retention_overdue.get();
        RetentionPromise {
            idle_timeout_seconds,
            min_idle_timeout_seconds: MIN_IDLE_TIMEOUT_SECONDS,
            max_age_seconds,
            sweep_interval_seconds: interval,
            max_seconds_until_deleted: interval.map(|interval| interval.saturating_add(MAX_SECONDS_UNTIL_CERTAIN)),
            // Between two sweeps a session may be overdue for an interval.
            late: interval.is_some_and(|interval| overdue_seconds > 2 * i64::from(interval)),
        }
    }

    fn limits(&self) -> LimitsPromise {
        let has_rate = self.rules.has_message_rate;
        LimitsPromise {
            messages_per_minute: has_rate.then_some(PER_MINUTE.get()),
            messages_at_once: has_rate.then_some(BURST.get()),
            proof_of_work: self.rules.proof_of_work.into(),
        }
    }

    fn help_lines(&self) -> HelpLinesPromise {
        let verified = || self.help_lines.resources.iter().filter_map(|help_line| help_line.verified_at);
        HelpLinesPromise {
            source: TextSource::of(self.replaced.help_lines),
            count: self.help_lines.resources.len(),
            unverified: self.help_lines.unverified(self.help_lines_max_age_days, Utc::now().date_naive()).len(),
            max_age_days: self.help_lines_max_age_days,
            oldest_verified_at: verified().min(),
            newest_verified_at: verified().max(),
        }
    }
}

fn deletion(has_model: bool) -> DeletionPromise {
    if has_model {
        return DeletionPromise {
            reaches: &["rows", "running_answer", "call_to_model"],
            does_not_reach: &[
                "free_space_of_tables",
                "write_ahead_log",
                "backups",
                "replicas",
                "model_host",
                "browser",
                "network",
            ],
        };
    }
    DeletionPromise {
        reaches: &["rows", "running_answer"],
        does_not_reach: &["free_space_of_tables", "write_ahead_log", "backups", "replicas", "browser", "network"],
    }
}
