//! The JSON of reports.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::resources::listing::{Listing, ResourceDocument};
use crate::api::respond;
use crate::document;
use crate::language::Language;
use crate::report::{
    Description, Evidence, Facts, Level, Location, Need, Perpetrator, Report, Source, Step, Templates, UserGoal,
    missing,
};
use crate::resources::Resource;
use crate::session_id::SessionId;

/// The five answers.
#[derive(Serialize, ToSchema)]
struct Answers {
    /// Where it happened.
    location: Location,
    /// Who did it.
    perpetrator: Perpetrator,
    /// What happened.
    description: Description,
    /// What there is as evidence.
    evidence: Evidence,
    /// What the person wants.
    user_goal: UserGoal,
}

/// Whether facts are missing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "draft")]
pub(in crate::api) enum Status {
    /// The document has placeholders.
    Draft,
    /// It has none.
    Complete,
}

/// A report in the list of its session.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ReportSummary {
    /// The report's id.
    #[schema(example = "7d3c9f0e-4b1a-4c57-9e59-6a8f2f1f0c11")]
    id: Uuid,
    #[serde(flatten)]
    answers: Answers,
    /// When it was made, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: String,
    /// When it was last changed, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    updated_at: String,
    /// The language of the document.
    #[schema(value_type = String, example = "id")]
    language: Language,
    /// How many facts are missing.
    #[schema(example = 4)]
    placeholders: usize,
    status: Status,
}

/// The reports of a session.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ReportSummaries {
    /// The session.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub(super) session_id: SessionId,
    /// The reports, the newest first.
    pub(super) reports: Vec<ReportSummary>,
}

/// A step that may help.
#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
struct StepBody {
    /// What the person can do, in the language of the report.
    text: String,
    /// What it rests on, with the address where its text was read.
    source: String,
    /// The date of that source; for a page without one, the day on which it was read.
    #[schema(value_type = String, format = Date, example = "2022-05-09")]
    date: NaiveDate,
    /// The help lines that the text names, in its order; empty if it names none.
    #[schema(value_type = Vec<ResourceDocument<'static>>)]
    resources: Vec<Box<RawValue>>,
}

/// A report.
#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
pub(in crate::api) struct ReportBody {
    #[serde(flatten)]
    summary: ReportSummary,
    /// The session it belongs to.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// The document as text.
    #[schema(example = "I. Identifikasi Kebutuhan\n\n…")]
    generated_document: String,
    /// When it happened, in the person's own words; absent where it was not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "awal Februari, sore")]
    occurred_at: Option<String>,
    /// How often, in the person's own words; absent where it was not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "tiga kali")]
    frequency: Option<String>,
    /// The person's own words; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Ia berulang kali mengirim pesan.")]
    narrative: Option<String>,
    /// The help that the person needs; empty where nothing was said.
    needs: Vec<Need>,
    /// How much power the person who did it has over the other, by a table.
    power_imbalance: Level,
    /// The level of risk, by a table.
    risk_level: Level,
    /// The facts that are missing, by the names of their fields.
    #[schema(example = json!(["occurred_at", "frequency", "narrative", "needs"]))]
    missing: Vec<&'static str>,
    /// Steps that may help, each with its source.
    recommended_steps: Vec<StepBody>,
    /// What worded the document.
    source: Source,
}

impl ReportSummary {
    pub(super) fn new(report: &Report) -> ReportSummary {
        let Facts { location, perpetrator, description, evidence, user_goal, language, .. } = report.facts;
        let placeholders = missing(&report.facts).len();
        ReportSummary {
            id: report.id,
            answers: Answers { location, perpetrator, description, evidence, user_goal },
            created_at: respond::timestamp(report.created_at),
            updated_at: respond::timestamp(report.updated_at),
            language,
            placeholders,
            status: if placeholders == 0 { Status::Complete } else { Status::Draft },
        }
    }
}

impl StepBody {
    fn new(Step { text, source, date, resources }: Step, listing: &Listing) -> StepBody {
        let resources: Vec<&Resource> = resources.iter().collect();
        let resources = listing.documents(&resources).into_iter().map(ToOwned::to_owned).collect();
        StepBody { text, source, date, resources }
    }
}

impl ReportBody {
    pub(super) fn new(session_id: SessionId, templates: &Templates, listing: &Listing, report: &Report) -> ReportBody {
        let steps = templates.recommended_steps(&report.facts).into_iter();
        let Facts { occurred_at, frequency, narrative, needs, .. } = report.facts.clone();
        ReportBody {
            summary: ReportSummary::new(report),
            session_id,
            generated_document: document::text(&report.document),
            occurred_at,
            frequency,
            narrative,
            needs,
            power_imbalance: templates.power_imbalance(report.facts.perpetrator),
            risk_level: templates.risk_level(&report.facts),
            missing: missing(&report.facts),
            recommended_steps: steps.map(|step| StepBody::new(step, listing)).collect(),
            source: report.source,
        }
    }
}

/// A new report.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as a JSON object")]
pub(in crate::api) struct ReportRequest {
    location: Location,
    perpetrator: Perpetrator,
    description: Description,
    evidence: Evidence,
    user_goal: UserGoal,
    #[schema(inline)]
    #[serde(flatten)]
    further: FurtherFacts,
}

/// What may be given besides the five answers. Text without any word counts as not given.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as a JSON object")]
struct FurtherFacts {
    /// When it happened, as exactly or roughly as the person says it, in one line. It is inserted as it is.
    #[schema(max_length = 200, example = "awal Februari, sore")]
    occurred_at: Option<String>,
    /// How often it happened, in one line. It is inserted as it is.
    #[schema(max_length = 200, example = "tiga kali")]
    frequency: Option<String>,
    /// What happened, in the person's own words, without NUL. It is inserted as it is.
    #[schema(max_length = 16_384, example = "Ia berulang kali mengirim pesan.")]
    narrative: Option<String>,
    needs: Option<Vec<Need>>,
    /// The language of the document: `id`, where it is not given, or `en`.
    #[schema(value_type = Option<String>, example = "id")]
    language: Option<Language>,
}

/// Changes of a report: the facts that are not named stay, and null takes one back that may be missing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as a JSON object")]
pub(in crate::api) struct ReportChanges {
    location: Option<Location>,
    perpetrator: Option<Perpetrator>,
    description: Option<Description>,
    evidence: Option<Evidence>,
    user_goal: Option<UserGoal>,
    #[schema(inline)]
    #[serde(flatten)]
    further: FurtherFacts,
}
