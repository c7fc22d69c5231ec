//! The facts of a report: exactly what a person gave.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::language::Language;

/// An enum of values of the API, with a list of all, so that a file of texts can be searched for a value without a text.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $value)] $variant,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The value as the API has it.
            #[must_use]
            pub fn value(self) -> &'static str {
                match self {
                    $($name::$variant => $value,)*
                }
            }
        }
    };
}

choices! {
    /// Where it happened.
    Location {
        /// At work.
        Workplace = "workplace",
        /// At a university.
        Kampus = "kampus",
        /// Online.
        Online = "online",
        /// In a public space.
        PublicSpace = "public space",
        /// At a school.
        Sekolah = "sekolah",
    }
}

choices! {
    /// Who did it, by their relation to the person.
    Perpetrator {
        /// Somebody who gives the person orders.
        Supervisor = "supervisor",
        /// Somebody at the same level.
        Colleague = "colleague",
        /// Somebody who teaches the person.
        Lecturer = "lecturer",
        /// A customer.
        Client = "client",
        /// Somebody the person did not know.
        Stranger = "stranger",
    }
}

choices! {
    /// What happened.
    Description {
        /// Comments.
        InappropriateComments = "inappropriate comments",
        /// Touch.
        UnwantedPhysicalTouch = "unwanted physical touch",
        /// Pressure, repeatedly.
        RepeatedPressure = "repeated pressure",
        /// Threats or coercion.
        ThreatOrCoercion = "threat or coercion",
        /// Harassment through digital means.
        DigitalHarassment = "digital harassment",
    }
}

choices! {
    /// What there is as evidence.
    Evidence {
        /// Messages.
        Messages = "messages",
        /// E-mails.
        Emails = "emails",
        /// Somebody who saw or heard it.
        Witness = "witness",
        /// Nothing.
        None = "none",
    }
}

choices! {
    /// What the person wants.
    UserGoal {
        /// To understand the risk.
        UnderstandTheRisk = "understand the risk",
        /// To document it safely.
        DocumentSafely = "document safely",
        /// To consider a report.
        ConsiderReporting = "consider reporting",
        /// To explore what can be done.
        ExploreOptions = "explore options",
    }
}

choices! {
    /// Help that the person needs.
    Need {
        /// Legal help.
        Legal = "legal",
        /// Medical help.
        Medical = "medical",
        /// Psychological help.
        Psychological = "psychological",
        /// Help with devices and accounts.
        Digital = "digital",
        /// A safe place to stay.
        Shelter = "shelter",
    }
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

/// The facts that were not given, by their names in the API. Each is one placeholder in the document.
#[must_use]
pub fn missing(facts: &Facts) -> Vec<&'static str> {
    let given = [
        ("occurred_at", facts.occurred_at.is_some()),
        ("frequency", facts.frequency.is_some()),
        ("narrative", facts.narrative.is_some()),
        ("needs", !facts.needs.is_empty()),
    ];
    given.into_iter().filter(|(_, is_given)| !is_given).map(|(name, _)| name).collect()
}
