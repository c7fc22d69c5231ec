//! The companion of the service: the script always, and a model perhaps.

use std::sync::Arc;

use super::interface::{Call, ChatMessage, Finish, ModelHost, Unavailable};
use super::model::Model;
use super::number_filter::{Known, NumberFilter};
use super::safety::{Risk, Safety, help_lines};
use super::script::Script;
use crate::message::Role;
use crate::resources::Registry;

/// Help lines in the place of a number.
const MAX_HELP_LINES: usize = 3;

/// Answers conversations, one at a time on each calling thread.
pub struct Companion {
    script: Script,
    pub(super) model: Option<Model>,
    resources: Arc<Registry>,
    /// The numbers and links that a model may name.
    known: Known,
}

impl Companion {
    pub(super) fn new(script: Script, model: Option<Model>, resources: Arc<Registry>) -> Companion {
        let known = Known::new(&resources);
        Companion { script, model, resources, known }
    }

    /// The role of its answers: [`Role::Model`] or [`Role::Script`].
    #[must_use]
    pub fn role(&self) -> Role {
        if self.model.is_some() { Role::Model } else { Role::Script }
    }

    /// Whether a model answers.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.model.is_some()
    }

    /// The host to which conversations are sent, as requests are made now; `None` without a model.
    #[must_use]
    pub fn model_host(&self) -> Option<ModelHost> {
        self.model.as_ref().map(Model::host)
    }

    /// Whether the script has words that tell danger or self-harm.
    #[must_use]
    pub fn can_classify(&self) -> bool {
        !self.script.classifier.is_empty()
    }

    /// What a message of the user speaks of, by the words of the script; `None` if of neither danger nor self-harm. It looks at
    /// up to 4,096 characters for a few milliseconds at most.
    #[must_use]
    pub fn assess(&self, message: &str) -> Option<Safety> {
        self.script.classifier.assess(message)
    }

    /// The number of characters of a conversation that it can use.
    #[must_use]
    pub fn context_chars(&self) -> usize {
        self.model.as_ref().map_or(Script::CONTEXT_CHARS, Model::context_chars)
    }

    /// The number of messages of a conversation that it can use, where that is bounded.
    #[must_use]
    pub fn context_messages(&self) -> Option<usize> {
        self.model.is_none().then(|| self.script.context_messages())
    }

    /// Answers the last message of a conversation, which is the user's and of which `safety` was found, and passes each piece of
    /// the answer to `on_delta`. Returns by the deadline of the call, and soon after its cancellation.
    ///
    /// # Errors
    /// Why there is no answer; the pieces until then are not one.
    pub fn answer(
        &self,
        messages: &[ChatMessage],
        safety: Option<Safety>,
        call: &Call,
        on_delta: &mut dyn FnMut(&str),
    ) -> Result<Finish, Unavailable> {
        match &self.model {
            Some(model) => {
                let risk = safety.map(|safety| safety.risk);
                let filter = NumberFilter::new(&self.known, help_lines_as_text(&self.resources, risk));
                model.answer(messages, filter, call, on_delta)
            }
            None => self.script.answer(messages, safety, call, on_delta),
        }
    }

    /// The script's reply to the last message of a conversation, of which `safety` was found: without a model the answer, at once;
    /// otherwise for where the model has none.
    #[must_use]
    pub fn reply(&self, messages: &[ChatMessage], safety: Option<Safety>) -> &str {
        self.script.reply(messages, safety)
    }

    /// Has the model rewrite a text as an instruction says. Its words are returned as they are: the caller checks them.
    /// `None` without a model. Returns by the deadline of the call, and soon after its cancellation.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub fn rewrite(&self, instruction: &str, text: &str, call: &Call) -> Result<Option<String>, Unavailable> {
        self.model.as_ref().map(|model| model.rewrite(instruction, text, call)).transpose()
    }
}

/// What takes the place of a number that no help line has.
fn help_lines_as_text(resources: &Registry, risk: Option<Risk>) -> String {
    let lines = help_lines(resources, risk).into_iter().take(MAX_HELP_LINES);
    lines.map(|line| format!("{}: {}", line.name, line.value)).collect::<Vec<_>>().join("; ")
}
