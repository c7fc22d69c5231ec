//! The help lines for what a message speaks of.

use super::risk_classifier::Risk;
use crate::resources::{Registry, Resource, Selection};

/// Help lines in an answer at most: a person in danger reads no long list.
const MAX_HELP_LINES: usize = 6;

impl Risk {
    /// The topics of the registry that help, the most important one first.
    fn topics(self) -> &'static [&'static str] {
        match self {
            Risk::SelfHarm => &["emergency", "self_harm", "mental_health"],
            Risk::Danger => &["emergency", "police", "violence"],
            Risk::Both => &["emergency", "self_harm", "police", "violence"],
        }
    }
}

/// The help lines of the service's country for this risk; without one, for emergencies and violence. The most important one comes
/// first, and of each topic there is one before there is a second of any. Of the topic `emergency` there is only the first: the
/// police, which may be its second, are for danger, and must not come to a person who is about to die.
#[must_use]
pub fn help_lines(registry: &Registry, risk: Option<Risk>) -> Vec<&Resource> {
    let country = Some(registry.country.as_str());
    let of_topic = |topic: &&str| registry.select(Selection { country, topic: Some(topic), language: None });
    let mut topics: Vec<Vec<&Resource>> = risk.unwrap_or(Risk::Danger).topics().iter().map(of_topic).collect();
    topics[0].truncate(1);
    let longest = topics.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines: Vec<&Resource> = Vec::new();
    for resource in (0..longest).flat_map(|at| topics.iter().filter_map(move |topic| topic.get(at))) {
        if lines.len() < MAX_HELP_LINES && !lines.iter().any(|line| line.id == resource.id) {
            lines.push(resource);
        }
    }
    lines
}
