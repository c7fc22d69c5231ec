//! A language model behind an OpenAI-compatible endpoint, with one retry and a circuit breaker.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::circuit_breaker::{CircuitBreaker, Outcome, Transition};
use super::completion;
use super::completion_reader::AnswerLimiter;
use super::endpoint::{Endpoint, EndpointError};
use super::interface::{Call, ChatMessage, Companion, Unavailable};
use crate::config::ModelSettings;
use crate::message::Role;

/// The delay before the retry.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The time that must be left after the delay: less is not enough for an answer.
const MIN_RETRY_TIME: Duration = Duration::from_secs(1);

/// A model behind an OpenAI-compatible endpoint.
pub(super) struct Model {
    settings: ModelSettings,
    prompt: String,
    endpoint: Endpoint,
    circuit_breaker: CircuitBreaker,
}

impl Model {
    /// A model with this system prompt. Opens no connection, but resolves the host if its addresses must be local.
    pub(super) fn new(settings: ModelSettings, prompt: String) -> Result<Model, EndpointError> {
        let endpoint = Endpoint::new(&settings)?;
        Ok(Model { settings, prompt, endpoint, circuit_breaker: CircuitBreaker::default() })
    }

    /// Sends the request, and sends it again after a transient failure if no piece of an answer was passed on.
    fn post_with_retry(&self, json: &[u8], call: &Call, answer: &mut AnswerLimiter<'_>) -> Result<(), Unavailable> {
        let failure = match self.endpoint.post(json, call, answer) {
            Err(failure) if is_transient(failure) && !answer.has_text() => failure,
            result => return result,
        };
        let time_left = call.deadline.saturating_duration_since(Instant::now());
        if time_left < RETRY_DELAY + MIN_RETRY_TIME || is_cancelled_within(RETRY_DELAY, call) {
            return Err(failure);
        }
        self.endpoint.post(json, call, answer)
    }
}

impl Companion for Model {
    fn role(&self) -> Role {
        Role::Model
    }

    fn context_chars(&self) -> usize {
        self.settings.context_chars
    }

    fn answer(&self, messages: &[ChatMessage], call: &Call, on_delta: &mut dyn FnMut(&str)) -> Result<(), Unavailable> {
        if call.cancellation.is_cancelled() {
            return Err(Unavailable::Cancelled);
        }
        if Instant::now() >= call.deadline {
            // The circuit breaker does not count it: the server got no request.
            return Err(Unavailable::TimedOut);
        }
        let permit = self.circuit_breaker.admit(Instant::now()).map_err(Unavailable::CircuitOpen)?;
        let json = completion::request(&self.settings, &self.prompt, messages, call.streamed);
        let result = self.post_with_retry(&json, call, &mut AnswerLimiter::new(on_delta));
        // First, because a connection that the cancellation closed can look like the end of an answer.
        let result = if call.cancellation.is_cancelled() { Err(Unavailable::Cancelled) } else { result };
        let Some(outcome) = outcome(result) else { return result };
        match (permit.report(outcome, Instant::now()), result) {
            (Transition::Opened(duration), Err(reason)) => {
                log::warn!(rest_s = duration.as_secs(), reason:% = reason; "The model is not asked for a while");
            }
            (Transition::Closed, _) => log::info!("The model answers again"),
            _ => {}
        }
        result
    }
}

/// What a result shows of the server's health; a cancelled call shows nothing. A filtered or empty answer and a request
/// refused for its content (400, 413, 422) come from a healthy server: one user's messages must not open the circuit for
/// all others.
fn outcome(result: Result<(), Unavailable>) -> Option<Outcome> {
    use Unavailable::{Cancelled, Empty, Filtered, Refused};
    match result {
        Err(Cancelled) => None,
        Ok(()) | Err(Filtered | Empty | Refused(400 | 413 | 422)) => Some(Outcome::Success),
        Err(_) => Some(Outcome::Failure),
    }
}

/// Whether the same request may succeed a moment later.
fn is_transient(failure: Unavailable) -> bool {
    use Unavailable::{Interrupted, NotReached, Refused};
    matches!(failure, NotReached | Interrupted | Refused(429 | 500 | 502 | 503 | 504))
}

/// Waits for the delay, or returns true as soon as the call is cancelled.
fn is_cancelled_within(delay: Duration, call: &Call) -> bool {
    let (sender, receiver) = mpsc::channel();
    call.cancellation.on_cancel(move || _ = sender.send(()));
    receiver.recv_timeout(delay).is_ok()
}
