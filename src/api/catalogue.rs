//! Every error that a client can get, by its code. The texts are in `problems.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::language::Language;

/// What went wrong: a stable name for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    Malformed,
    AuthorizationRequired,
    ForeignOrigin,
    PathNotFound,
    SessionNotFound,
    ReportNotFound,
    MethodNotAllowed,
    HeadTooSlow,
    BodyTooSlow,
    TurnInProgress,
    AnswerStopped,
    SessionFull,
    ReportsFull,
    BodyTooLarge,
    RequestLineTooLong,
    MediaTypeUnsupported,
    ContentEncodingUnsupported,
    ExpectationUnknown,
    InvalidRequest,
    RateLimited,
    NetworkLimited,
    PdfInProgress,
    ProofOfWork,
    HeadTooLarge,
    TooManyFields,
    InternalError,
    TransferCodingUnknown,
    DatabaseUnavailable,
    DatabaseRefuses,
    StorageFull,
    NoAnswer,
    AnswerTimeout,
    Overloaded,
    Busy,
    Stopping,
    SchemaMismatch,
    DatabaseTimeout,
    RequestTimeout,
    VersionUnknown,
}

/// What is wrong with a part of a request: a stable name for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FieldCode {
    SessionIdInvalid,
    BodyNotUtf8,
    BodyNotJson,
    BodyTooDeep,
    BodyNotObject,
    IdleTimeoutInvalid,
    MessageMissing,
    MessageTooLong,
    MessageBlank,
    MessageHasNul,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    LimitInvalid,
    BeforeInvalid,
    ReportIdInvalid,
    LocationInvalid,
    PerpetratorInvalid,
    DescriptionInvalid,
    EvidenceInvalid,
    UserGoalInvalid,
    OccurredAtInvalid,
    FrequencyInvalid,
    NarrativeInvalid,
    NeedsInvalid,
    ReportLanguageInvalid,
    PolishInvalid,
}

/// All texts.
#[derive(Deserialize)]
pub(super) struct Catalogue {
    pub(super) problems: BTreeMap<Code, Entry>,
    pub(super) fields: BTreeMap<FieldCode, FieldEntry>,
}

/// One kind of error.
#[derive(Deserialize)]
pub(super) struct Entry {
    /// The HTTP status.
    pub(super) status: u16,
    pub(super) title: Text,
    /// What was wrong and what to do. Names in braces stand for values.
    pub(super) detail: Text,
    /// What a client does, for developers.
    pub(super) client: String,
}

/// One way in which a part of a request is wrong.
#[derive(Deserialize)]
pub(super) struct FieldEntry {
    /// The parameter or the field of the body; `body` for the body as a whole.
    pub(super) field: String,
    pub(super) message: Text,
}

/// A text in every language.
#[derive(Deserialize)]
pub(super) struct Text {
    en: String,
    id: String,
}

impl Text {
    pub(super) fn get(&self, language: Language) -> &str {
        match language {
            Language::English => &self.en,
            Language::Indonesian => &self.id,
        }
    }
}

pub(super) static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| toml::from_str(include_str!("problems.toml")).expect("the embedded file has every code and text"));

impl Code {
    pub(super) fn entry(self) -> &'static Entry {
        &CATALOGUE.problems[&self]
    }

    /// The name in JSON.
    pub(super) fn name(self) -> String {
        name(self)
    }
}

impl FieldCode {
    pub(super) fn entry(self) -> &'static FieldEntry {
        &CATALOGUE.fields[&self]
    }

    /// The name in JSON.
    pub(super) fn name(self) -> String {
        name(self)
    }
}

fn name(code: impl Serialize) -> String {
    let name = serde_json::to_value(code).ok();
    name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names in braces.
    fn values(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
    }

    #[test]
    fn every_text_has_a_translation_with_the_same_values() {
        let problems = CATALOGUE.problems.values().flat_map(|entry| [&entry.title, &entry.detail]);
        for text in problems.chain(CATALOGUE.fields.values().map(|entry| &entry.message)) {
            assert_ne!(text.en, text.id);
            assert_eq!(values(&text.en), values(&text.id), "{}", text.en);
        }
    }
}
