//! The promise as data, for `GET /api/v1/privacy`. Nothing in it depends on a language: what is neither a number nor an address is a
//! code.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::stored::StoredColumn;
use crate::config::ProofOfWork;
use crate::peers::{Distinct, Location};

/// What the service promises, computed from the parts that are in use.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
// Generated clients would have a type of this name in the place of JavaScript's.
#[schema(as = PrivacyPromise)]
pub struct Promise {
    /// The version of the service.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// What answers, and who gets the words for that.
    pub companion: CompanionPromise,
    /// When a session ends, and when its rows are deleted.
    pub retention: RetentionPromise,
    /// How what is stored is encrypted.
    pub sealing: SealingPromise,
    /// What is stored.
    pub storage: StoragePromise,
    /// What deleting a session reaches.
    pub deletion: DeletionPromise,
    /// The service's own log.
    pub log: LogPromise,
    /// What is counted.
    pub metrics: MetricsPromise,
    /// What is done with the addresses of clients.
    pub addresses: AddressPromise,
    /// What protects from abuse.
    pub limits: LimitsPromise,
    /// Whether people have verified the help lines.
    pub help_lines: HelpLinesPromise,
    /// Whether people have reviewed the texts of reports.
    pub reports: ReportTextsPromise,
    /// The page that people open in a browser; missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PagePromise>,
    /// Where `POST /api/v1/exit` can lead.
    #[schema(example = json!(["https://www.google.com/"]))]
    pub exit_urls: Vec<String>,
}

/// What answers, and who gets the words for that.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CompanionPromise {
    /// What answers.
    pub kind: CompanionKind,
    /// Whether a person answers: never.
    #[schema(example = false)]
    pub person: bool,
    /// Where the replies of the script are from. Beside a model it answers where that does not.
    pub script: TextSource,
    /// Where the system prompt is from; missing without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<TextSource>,
    /// Where the model's host is, as far as that is certain; `none` without a model.
    pub host_class: HostClass,
    /// The model's host, which gets the words; missing without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ollama.internal")]
    pub host: Option<String>,
    /// Whether the connection to it is encrypted; missing without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = false)]
    pub encrypted: Option<bool>,
    /// What it gets: `conversation`; `system_prompt`; `report_sentences` where a client asks to have a report polished: sentences that
    /// its answers selected, and no word of the person. Empty without a model. It gets no id and no address.
    #[schema(example = json!(["conversation", "system_prompt", "report_sentences"]))]
    pub sends: &'static [&'static str],
    /// The last characters of a conversation that it gets at most; missing without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 24_000)]
    pub max_chars: Option<usize>,
    /// Whether requests ask it not to keep conversations (`"store": false`), which proves nothing; missing without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub asks_not_to_store: Option<bool>,
}

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "model")]
pub enum CompanionKind {
    /// Replies that people wrote in advance.
    Script,
    /// A language model.
    Model,
}

/// Where texts are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// They are a part of the program.
    Embedded,
    /// The operator's file has them.
    File,
}

/// Where a host is. `public` is also a name that nothing keeps from leading there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "private_network")]
pub enum HostClass {
    /// There is none.
    None,
    /// This machine.
    ThisMachine,
    /// This machine or a private network.
    PrivateNetwork,
    /// Perhaps the public Internet.
    Public,
}

/// When a session ends, and when its rows are deleted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RetentionPromise {
    /// Seconds from a session's last use to its end, where its client chose no fewer.
    #[schema(example = 604_800)]
    pub idle_timeout_seconds: i32,
    /// The fewest that a client can choose; the most are `idle_timeout_seconds`.
    #[schema(example = 60)]
    pub min_idle_timeout_seconds: i32,
    /// Seconds from a session's creation to its end at the latest.
    #[schema(example = 2_592_000)]
    pub max_age_seconds: i32,
    /// Seconds from one sweep of ended sessions to the next; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 60)]
    pub sweep_interval_seconds: Option<i32>,
    /// Seconds from the end of a session to the deletion of its rows at the latest, while sweeps are not late; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 4_260)]
    pub max_seconds_until_deleted: Option<i32>,
    /// Whether a session that ended waits for longer than that now, by another interval or more, as after an outage of the database.
    #[schema(example = false)]
    pub late: bool,
}

/// How what is stored is encrypted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SealingPromise {
    /// The authenticated cipher.
    #[schema(example = "XChaCha20-Poly1305")]
    pub cipher: &'static str,
    /// How the key of a session is derived.
    #[schema(example = "HKDF-SHA256")]
    pub key_derivation: &'static str,
    /// From what: the session's id, which is not stored.
    #[schema(example = "session_id")]
    pub key_from: &'static str,
    /// Whether the service has a key of its own that opens sessions: no.
    #[schema(example = false)]
    pub server_key: bool,
    /// Whether the service itself cannot read the words: it reads them to answer.
    #[schema(example = false)]
    pub end_to_end: bool,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StoragePromise {
    /// Which database has it.
    pub database: DatabaseKind,
    /// Every column, encrypted or not.
    pub columns: &'static [StoredColumn],
}

/// Which database stores the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// A PostgreSQL that the service starts and stops, on the same machine.
    Private,
    /// A PostgreSQL that is administered elsewhere.
    Server,
}

/// What deleting a session reaches.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeletionPromise {
    /// What is deleted or ended before the answer: `rows`, `running_answer`, `call_to_model`.
    #[schema(example = json!(["rows", "running_answer", "call_to_model"]))]
    pub reaches: &'static [&'static str],
    /// What keeps older, encrypted bytes, or has its own: `free_space_of_tables`, `write_ahead_log`, `backups`, `replicas`, `model_host`,
    /// `browser`, `network`.
    #[schema(example = json!(["free_space_of_tables", "write_ahead_log", "backups", "replicas", "model_host", "browser", "network"]))]
    pub does_not_reach: &'static [&'static str],
}

/// The service's own log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LogPromise {
    /// The least severe level of its lines.
    #[schema(example = "info")]
    pub level: String,
    /// Which requests have a line.
    pub requests: LoggedRequests,
    /// The fields of these lines, besides time and level; `cause` only of failures.
    #[schema(example = json!(["method", "route", "status", "duration_ms", "request_id", "cause"]))]
    pub request_fields: &'static [&'static str],
    /// What no line has, at any level: `session_id`, `recovery_code`, `message`, `report`, `address`, `idempotency_key`.
    #[schema(example = json!(["session_id", "recovery_code", "message", "report", "address", "idempotency_key"]))]
    pub never: &'static [&'static str],
}

/// Which requests have a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "most")]
pub enum LoggedRequests {
    /// None.
    None,
    /// Those that failed by a fault of the service or of the database.
    Failed,
    /// All but probes of health, those above a rate, and those for unknown paths.
    Most,
    /// All.
    All,
}

/// What is counted, since the start of the service and in memory.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricsPromise {
    /// From where the counts can be read: `none` if they cannot, `public` if nothing keeps it from there.
    pub reachable_from: HostClass,
    /// What they count: `requests` (by route, status and duration), `refusals`, `answers`, `danger` (messages that speak of danger, by
    /// level), `sessions`, `database`, `storage`, `help_lines`, `service`.
    #[schema(example = json!(["requests", "refusals", "answers", "danger", "sessions", "database", "storage", "help_lines", "service"]))]
    pub counts: &'static [&'static str],
    /// By what they count nothing: `session`, `address`.
    #[schema(example = json!(["session", "address"]))]
    pub never_by: &'static [&'static str],
}

/// What is done with the addresses of clients. None is stored or logged.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AddressPromise {
    /// Which ones are hashed in memory, so that limits can count by network.
    pub hashed: HashedAddresses,
    /// Bits of an IPv4 address that are hashed.
    #[schema(example = 24)]
    pub ipv4_prefix_bits: usize,
    /// Bits of an IPv6 address that are hashed.
    #[schema(example = 56)]
    pub ipv6_prefix_bits: usize,
    /// Seconds for which a key of the hash is used; it is random and in memory only.
    #[schema(example = 86_400)]
    pub key_lifetime_seconds: u64,
    /// Whether an address is stored: never.
    #[schema(example = false)]
    pub stored: bool,
    /// Whether an address is logged: never.
    #[schema(example = false)]
    pub logged: bool,
}

/// Which addresses are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "public")]
pub enum HashedAddresses {
    /// None.
    None,
    /// Public ones: those of Tor services and local networks are not.
    Public,
    /// All.
    All,
}

/// What protects from abuse.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LimitsPromise {
    /// Messages of a session in a minute, and as many reports; missing if they are not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20)]
    pub messages_per_minute: Option<u32>,
    /// Those at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 5)]
    pub messages_at_once: Option<u32>,
    /// When a new session takes proof of work.
    pub proof_of_work: ProofOfWorkRule,
}

/// When a new session takes proof of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "auto")]
pub enum ProofOfWorkRule {
    /// While many are created.
    Auto,
    /// Never.
    Off,
    /// Always.
    Always,
}

/// Whether people have verified the help lines.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HelpLinesPromise {
    /// Where they are from.
    pub source: TextSource,
    /// How many there are.
    #[schema(example = 20)]
    pub count: usize,
    /// How many of them nobody has verified in the last `max_age_days` days.
    #[schema(example = 19)]
    pub unverified: usize,
    /// Days for which a verification holds.
    #[schema(example = 180)]
    pub max_age_days: u32,
    /// The day of the oldest verification; missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date, example = "2026-11-30")]
    pub oldest_verified_at: Option<NaiveDate>,
    /// The day of the newest verification; missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date, example = "2026-11-30")]
    pub newest_verified_at: Option<NaiveDate>,
}

/// Whether people have reviewed the texts of reports.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReportTextsPromise {
    /// Where the texts are from.
    pub source: TextSource,
    /// Whether a lawyer or counsellor has reviewed them, as their file says.
    #[schema(example = false)]
    pub reviewed: bool,
}

/// The page that people open in a browser.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PagePromise {
    /// Where "Leave now" leads.
    #[schema(example = "https://www.wikipedia.org/")]
    pub exit_url: String,
    /// The files of the page that the operator has replaced, in whole or in part. None of them changes the sentences of `summary`.
    #[schema(example = json!([]))]
    pub replaced: Vec<&'static str>,
    /// The origins of the sites that may show the page in a frame.
    #[schema(example = json!([]))]
    pub frames: Vec<String>,
}

impl From<Option<Location>> for HostClass {
    fn from(location: Option<Location>) -> HostClass {
        match location {
            None => HostClass::None,
            Some(Location::ThisMachine) => HostClass::ThisMachine,
            Some(Location::PrivateNetwork) => HostClass::PrivateNetwork,
            Some(Location::Public) => HostClass::Public,
        }
    }
}

impl From<Distinct> for HashedAddresses {
    fn from(distinct: Distinct) -> HashedAddresses {
        match distinct {
            Distinct::None => HashedAddresses::None,
            Distinct::Public => HashedAddresses::Public,
            Distinct::All => HashedAddresses::All,
        }
    }
}

impl From<ProofOfWork> for ProofOfWorkRule {
    fn from(proof_of_work: ProofOfWork) -> ProofOfWorkRule {
        match proof_of_work {
            ProofOfWork::Auto => ProofOfWorkRule::Auto,
            ProofOfWork::Off => ProofOfWorkRule::Off,
            ProofOfWork::Always => ProofOfWorkRule::Always,
        }
    }
}

impl TextSource {
    /// Where texts are from which a file of the operator replaces, or none.
    pub(super) fn of(is_replaced: bool) -> TextSource {
        if is_replaced { TextSource::File } else { TextSource::Embedded }
    }
}
