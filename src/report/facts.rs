//! The facts of a report: exactly what a person gave.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::language::Language;

/// Where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Location {
    /// At work.
    #[serde(rename = "workplace")]
    Workplace,
    /// At a university.
    #[serde(rename = "kampus")]
    Kampus,
    /// Online.
    #[serde(rename = "online")]
    Online,
    /// In a public space.
    #[serde(rename = "public space")]
    PublicSpace,
    /// At a school.
    #[serde(rename = "sekolah")]
    Sekolah,
}

/// Who did it, by their relation to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Perpetrator {
    /// Somebody who gives the person orders.
    #[serde(rename = "supervisor")]
    Supervisor,
    /// Somebody at the same level.
    #[serde(rename = "colleague")]
    Colleague,
    /// Somebody who teaches the person.
    #[serde(rename = "lecturer")]
    Lecturer,
    /// A customer.
    #[serde(rename = "client")]
    Client,
    /// Somebody the person did not know.
    #[serde(rename = "stranger")]
    Stranger,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Description {
    /// Comments.
    #[serde(rename = "inappropriate comments")]
    InappropriateComments,
    /// Touch.
    #[serde(rename = "unwanted physical touch")]
    UnwantedPhysicalTouch,
    /// Pressure, repeatedly.
    #[serde(rename = "repeated pressure")]
    RepeatedPressure,
    /// Threats or coercion.
    #[serde(rename = "threat or coercion")]
    ThreatOrCoercion,
    /// Harassment through digital means.
    #[serde(rename = "digital harassment")]
    DigitalHarassment,
}

/// What there is as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Evidence {
    /// Messages.
    #[serde(rename = "messages")]
    Messages,
    /// E-mails.
    #[serde(rename = "emails")]
    Emails,
    /// Somebody who saw or heard it.
    #[serde(rename = "witness")]
    Witness,
    /// Nothing.
    #[serde(rename = "none")]
    None,
}

/// What the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum UserGoal {
    /// To understand the risk.
    #[serde(rename = "understand the risk")]
    UnderstandTheRisk,
    /// To document it safely.
    #[serde(rename = "document safely")]
    DocumentSafely,
    /// To consider a report.
    #[serde(rename = "consider reporting")]
    ConsiderReporting,
    /// To explore what can be done.
    #[serde(rename = "explore options")]
    ExploreOptions,
}

/// Help that the person needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Need {
    /// Legal help.
    #[serde(rename = "legal")]
    Legal,
    /// Medical help.
    #[serde(rename = "medical")]
    Medical,
    /// Psychological help.
    #[serde(rename = "psychological")]
    Psychological,
    /// Help with devices and accounts.
    #[serde(rename = "digital")]
    Digital,
    /// A safe place to stay.
    #[serde(rename = "shelter")]
    Shelter,
}

/// The facts of a report. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Where it happened.
    pub location: Location,
    /// Who did it.
    pub perpetrator: Perpetrator,
    /// What happened.
    pub description: Description,
    /// What there is as evidence.
    pub evidence: Evidence,
    /// What the person wants.
    pub user_goal: UserGoal,
    /// When it happened, in the person's own words: up to 200 characters.
    pub occurred_at: Option<String>,
    /// How often it happened, in the person's own words: up to 200 characters.
    pub frequency: Option<String>,
    /// The person's own words: up to 16,384 characters.
    pub narrative: Option<String>,
    /// Help that the person needs; empty where nothing was said.
    pub needs: Vec<Need>,
    /// The language of the document.
    pub language: Language,
}
