//! What servers disagree about in a request, and how a refusal changes it.

use super::answer_text::MAX_ANSWER_CHARS;
use super::refusal::Refusal;
use crate::config::ModelSettings;

/// The bound of an answer in tokens: four characters each is common in English. Models that think first need room for that
/// too, and several servers refuse a larger number.
pub(super) const MAX_TOKENS: usize = MAX_ANSWER_CHARS / 4;

/// The optional fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestOptions {
    pub(super) length: LengthField,
    /// Whether `"store": false` is sent.
    pub(super) sends_store: bool,
    /// The part of the conversation that is sent, of at most `COMPANION_CONTEXT_CHARS`: 1 is the whole, 4 a quarter.
    pub(super) context_divisor: usize,
    /// Whether the prompt has a role of its own. The chat templates of some open models (Gemma 1 and 2) know none.
    pub(super) has_system_role: bool,
}

/// The field with the bound of the answer. Most servers know `max_tokens`; OpenAI's newer models refuse it for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LengthField {
    MaxTokens,
    MaxCompletionTokens,
    /// No bound: the server refuses both, or a number of this size.
    None,
}

/// Words of servers that refuse the number, and not the field: the context of the model, or its longest answer, is shorter.
const TOO_LARGE: [&str; 5] = ["too large", "at most", "maximum context", "exceeds", "less than or equal"];

/// Words of servers for a conversation that is longer than the model's context.
const TOO_LONG: [&str; 8] = [
    "exceed_context_size",
    "available context size",
    "context_length_exceeded",
    "maximum context",
    "context window",
    "context length",
    "prompt is too long",
    "input is too long",
];

/// Words of chat templates that refuse the role of the prompt.
const NO_SYSTEM_ROLE: [&str; 2] = ["System role not supported", "Only user and assistant roles are supported"];

impl RequestOptions {
    /// The options before anything is known of the server.
    pub(super) fn new(settings: &ModelSettings) -> RequestOptions {
        RequestOptions {
            length: LengthField::MaxTokens,
            sends_store: settings.sends_store,
            context_divisor: 1,
            has_system_role: true,
        }
    }

    /// The options for the next attempt, where the refusal is about one of them.
    pub(super) fn after(self, refusal: &Refusal) -> Option<RequestOptions> {
        if !refusal.is_of_request() {
            return None;
        }
        let mut next = self;
        next.sends_store &= !refusal.refuses("store");
        next.has_system_role &= !NO_SYSTEM_ROLE.iter().any(|words| refusal.says(words));
        let is_too_large = TOO_LARGE.iter().any(|words| refusal.says(words));
        // Neither name contains the other.
        let is_about_length = ["max_tokens", "max_completion_tokens"].iter().any(|name| refusal.mentions(name));
        let is_too_long = TOO_LONG.iter().any(|words| refusal.says(words));
        if is_too_long && self.length == LengthField::None {
            next.context_divisor *= 4;
        } else if is_about_length || is_too_long {
            next.length = match self.length {
                LengthField::MaxTokens if !is_too_large && !is_too_long => LengthField::MaxCompletionTokens,
                _ => LengthField::None,
            };
        }
        (next != self).then_some(next)
    }

    /// Whether a request with these options also has a name or words that a refusal is searched for in its conversation.
    pub(super) fn are_named_in(self, json: &[u8]) -> bool {
        let json = String::from_utf8_lossy(json);
        let fields = [
            ("store", usize::from(self.sends_store)),
            ("max_tokens", usize::from(self.length == LengthField::MaxTokens)),
            ("max_completion_tokens", usize::from(self.length == LengthField::MaxCompletionTokens)),
        ];
        let is_field = fields.iter().any(|(name, count)| json.matches(name).count() > *count);
        is_field || NO_SYSTEM_ROLE.iter().any(|words| json.contains(words))
    }

    /// What later requests begin with. A bound or a conversation that was refused once can suit the next conversation.
    pub(super) fn for_later(self, first: RequestOptions) -> RequestOptions {
        let length = if self.length == LengthField::None { first.length } else { self.length };
        RequestOptions { length, context_divisor: first.context_divisor, ..self }
    }
}
