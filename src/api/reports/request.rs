//! Reads and validates the requests of reports.

use std::collections::BTreeSet;

use rouille::input::parse_priority_header;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::rendering::Format;
use crate::api::body;
use crate::api::catalogue::FieldCode;
use crate::api::problem::{Problem, both};
use crate::http::Request;
use crate::language::Language;
use crate::report::{Description, Evidence, Facts, Location, Need, Perpetrator, UserGoal};

/// Characters of `occurred_at` and of `frequency`.
const MAX_LINE_CHARS: usize = 200;

/// Characters of `narrative`.
const MAX_NARRATIVE_CHARS: usize = 16_384;

/// The facts that a body gives; of a change those that it names. An inner `None` takes a fact back.
pub(super) struct GivenFacts {
    location: Option<Location>,
    perpetrator: Option<Perpetrator>,
    description: Option<Description>,
    evidence: Option<Evidence>,
    user_goal: Option<UserGoal>,
    occurred_at: Option<Option<String>>,
    frequency: Option<Option<String>>,
    narrative: Option<Option<String>>,
    needs: Option<Vec<Need>>,
    language: Option<Language>,
}

/// The members of a body, and what is wrong with them.
struct Members {
    body: Map<String, Value>,
    wrong: Vec<FieldCode>,
}

impl Members {
    /// One of the allowed values, or a list of them; `None` where it is missing, or wrong.
    fn choice<T: DeserializeOwned>(&mut self, name: &str, code: FieldCode) -> Option<T> {
        let given = self.body.remove(name)?;
        // serde would take an object for a string, too.
        let has_object = given.is_object() || given.as_array().is_some_and(|list| list.iter().any(Value::is_object));
        let chosen = if has_object { None } else { serde_json::from_value(given).ok() };
        if chosen.is_none() {
            self.wrong.push(code);
        }
        chosen
    }

    /// A text. Without anything to see it is as none, since a form sends that for what nobody filled in.
    fn text(&mut self, name: &str, code: FieldCode, is_valid: impl FnOnce(&str) -> bool) -> Option<Option<String>> {
        match self.body.remove(name)? {
            Value::Null => Some(None),
            Value::String(text) if text.chars().all(is_unseen) => Some(None),
            Value::String(text) if is_valid(&text) => Some(Some(text)),
            _ => {
                self.wrong.push(code);
                None
            }
        }
    }

    fn line(&mut self, name: &str, code: FieldCode) -> Option<Option<String>> {
        let has_no_line_end = |text: &str| !text.chars().any(|it| it.is_control() || "\u{2028}\u{2029}".contains(it));
        self.text(name, code, |text| has_no_line_end(text) && text.chars().count() <= MAX_LINE_CHARS)
    }

    fn needs(&mut self) -> Option<Vec<Need>> {
        // An outer `None` where the member is missing, or wrong; null is none.
        let needs: Option<Option<BTreeSet<Need>>> = self.choice("needs", FieldCode::NeedsInvalid);
        needs.map(|needs| needs.into_iter().flatten().collect())
    }

    fn language(&mut self) -> Option<Language> {
        let language: Option<Option<Language>> = self.choice("language", FieldCode::ReportLanguageInvalid);
        language.map(|language| language.unwrap_or(DEFAULT_LANGUAGE))
    }
}

/// Whether a character alone leaves nothing to see: white space, and what Unicode calls default ignorable or leaves blank.
fn is_unseen(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl GivenFacts {
    fn read(members: &mut Members) -> GivenFacts {
        let is_narrative = |text: &str| !text.contains('\0') && text.chars().count() <= MAX_NARRATIVE_CHARS;
        // In the order in which people answer, which is that of the errors.
        GivenFacts {
            location: members.choice("location", FieldCode::LocationInvalid),
            perpetrator: members.choice("perpetrator", FieldCode::PerpetratorInvalid),
            description: members.choice("description", FieldCode::DescriptionInvalid),
            evidence: members.choice("evidence", FieldCode::EvidenceInvalid),
            user_goal: members.choice("user_goal", FieldCode::UserGoalInvalid),
            occurred_at: members.line("occurred_at", FieldCode::OccurredAtInvalid),
            frequency: members.line("frequency", FieldCode::FrequencyInvalid),
            narrative: members.text("narrative", FieldCode::NarrativeInvalid, is_narrative),
            needs: members.needs(),
            language: members.language(),
        }
    }

    /// The same facts with these changes.
    pub(super) fn apply(&self, facts: Facts) -> Facts {
        let changed = |given: &Option<Option<String>>, before| given.clone().unwrap_or(before);
        Facts {
            location: self.location.unwrap_or(facts.location),
            perpetrator: self.perpetrator.unwrap_or(facts.perpetrator),
            description: self.description.unwrap_or(facts.description),
            evidence: self.evidence.unwrap_or(facts.evidence),
            user_goal: self.user_goal.unwrap_or(facts.user_goal),
            occurred_at: changed(&self.occurred_at, facts.occurred_at),
            frequency: changed(&self.frequency, facts.frequency),
            narrative: changed(&self.narrative, facts.narrative),
            needs: self.needs.clone().unwrap_or(facts.needs),
            language: self.language.unwrap_or(facts.language),
        }
    }
}

/// The language of a report whose author chose none.
const DEFAULT_LANGUAGE: Language = Language::Indonesian;

/// The facts of a new report, and whether it is to be polished.
pub(super) fn new_report(request: &Request) -> Result<(Facts, bool), Problem> {
    both(body::json_object(request).and_then(new_facts), polish(request))
}

/// The changes of a report, and whether it is to be polished.
pub(super) fn changes(request: &Request) -> Result<(GivenFacts, bool), Problem> {
    both(body::json_object(request).and_then(changed_facts), polish(request))
}

fn new_facts(body: Map<String, Value>) -> Result<Facts, Problem> {
    let mut members = Members { body, wrong: Vec::new() };
    for name in ["location", "perpetrator", "description", "evidence", "user_goal"] {
        // None of the choices.
        members.body.entry(name).or_insert(Value::Null);
    }
    let given = GivenFacts::read(&mut members);
    ensure_valid(members.wrong)?;
    let (Some(location), Some(perpetrator)) = (given.location, given.perpetrator) else {
        return Err(unvalidated_choice());
    };
    let (Some(description), Some(evidence)) = (given.description, given.evidence) else {
        return Err(unvalidated_choice());
    };
    let Some(user_goal) = given.user_goal else { return Err(unvalidated_choice()) };
    Ok(Facts {
        location,
        perpetrator,
        description,
        evidence,
        user_goal,
        occurred_at: given.occurred_at.flatten(),
        frequency: given.frequency.flatten(),
        narrative: given.narrative.flatten(),
        needs: given.needs.unwrap_or_default(),
        language: given.language.unwrap_or(DEFAULT_LANGUAGE),
    })
}

fn unvalidated_choice() -> Problem {
    Problem::internal("a required choice is neither read nor wrong")
}

fn changed_facts(body: Map<String, Value>) -> Result<GivenFacts, Problem> {
    let mut members = Members { body, wrong: Vec::new() };
    let given = GivenFacts::read(&mut members);
    ensure_valid(members.wrong).map(|()| given)
}

/// Fails with every member that is wrong.
fn ensure_valid(wrong: Vec<FieldCode>) -> Result<(), Problem> {
    let problems = wrong.into_iter().map(Problem::invalid);
    problems.reduce(|all, problem| all.and(Some(problem))).map_or(Ok(()), Err)
}

/// The parameter `polish`.
fn polish(request: &Request) -> Result<bool, Problem> {
    match request.get_param("polish").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::invalid(FieldCode::PolishInvalid)),
    }
}

/// The id of a report in the path.
pub(super) fn report_id(text: &str) -> Result<Uuid, Problem> {
    text.parse::<Hyphenated>().map(Hyphenated::into_uuid).map_err(|_| Problem::invalid(FieldCode::ReportIdInvalid))
}

/// The format that the client prefers: of equal weights a named one before `*/*`, then the first. JSON where it accepts none of them
/// (RFC 9110, section 12.5.1).
pub(super) fn format(request: &Request) -> Format {
    let mut best = ((0.0, false), Format::Json);
    for (range, weight) in parse_priority_header(request.header("Accept").unwrap_or_default()) {
        let range = range.to_ascii_lowercase();
        let named = Format::ALL.into_iter().find(|format| format.media_type() == range);
        let any = match range.as_str() {
            "*/*" | "application/*" => Some(Format::Json),
            "text/*" => Some(Format::Text),
            _ => None,
        };
        let rank = (weight, named.is_some());
        if let Some(format) = named.or(any).filter(|_| rank > best.0 && weight > 0.0 && weight <= 1.0) {
            best = (rank, format);
        }
    }
    best.1
}
