//! A language model behind an OpenAI-compatible endpoint, with one retry and a circuit breaker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::answer_text::AnswerText;
use super::circuit_breaker::{CircuitBreaker, Outcome};
use super::completion_request;
use super::connector;
use super::endpoint::{Endpoint, EndpointError, Failure};
use super::interface::{Call, ChatMessage, Finish, ModelHost, Unavailable};
use super::number_filter::NumberFilter;
use super::refusal;
use super::request_options::RequestOptions;
use crate::config::ModelSettings;
use crate::message::Role;
use crate::sync::CancellationToken;

/// The delay before the retry, where the server asks for none.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The time that must be left after the delay: less is not enough for an answer.
const MIN_RETRY_TIME: Duration = Duration::from_secs(1);

/// Requests for one attempt at most: a server may refuse several fields one after another.
const MAX_REQUESTS: usize = 5;

/// Makes the JSON of a request with these options.
type BuildRequest<'a> = dyn Fn(RequestOptions) -> Vec<u8> + 'a;

/// A model behind an OpenAI-compatible endpoint. Dropping it ends its probes.
pub(super) struct Model {
    shared: Arc<Shared>,
    end_of_probes: CancellationToken,
}

/// What calls and probes share.
struct Shared {
    settings: ModelSettings,
    prompt: String,
    endpoint: Endpoint,
    circuit_breaker: CircuitBreaker,
    /// What the server accepts, as far as it is known.
    options: Mutex<RequestOptions>,
    /// Whether it was logged that a conversation is longer than the model's context.
    is_context_told: AtomicBool,
    /// The time for the first piece of the answer to a probe.
    probe_timeout: Duration,
}

impl Model {
    /// A model with this system prompt. Opens no connection, but resolves the host if its addresses must be local.
    pub(super) fn new(
        settings: ModelSettings,
        prompt: String,
        probe_timeout: Duration,
    ) -> Result<Model, EndpointError> {
        let endpoint = Endpoint::new(&settings)?;
        let options = RequestOptions::new(&settings);
        let (circuit_breaker, options) = (CircuitBreaker::default(), Mutex::new(options));
        let is_context_told = AtomicBool::new(false);
        let shared = Shared { settings, prompt, endpoint, circuit_breaker, options, is_context_told, probe_timeout };
        let shared = Arc::new(shared);
        Ok(Model { shared, end_of_probes: CancellationToken::default() })
    }

    /// Posts, and posts again after a transient failure if no words were passed on.
    fn post_with_retry(
        &self,
        request: &BuildRequest<'_>,
        call: &Call,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, Unavailable> {
        let first = self.post_and_note_delay(request, call, answer);
        let failure = match first {
            Err(failure) if is_transient(failure) && !answer.has_words() => failure,
            result => return result,
        };
        let delay = match failure {
            Unavailable::RetryAfter { delay, .. } => delay,
            _ => RETRY_DELAY,
        };
        let time_left = call.deadline.saturating_duration_since(Instant::now());
        if time_left < delay + MIN_RETRY_TIME || is_cancelled_within(delay, &call.cancellation) {
            return Err(failure);
        }
        // Another call may have learned meanwhile that the server wants no request.
        if self.shared.circuit_breaker.is_waiting(Instant::now()) {
            return Err(failure);
        }
        self.post_and_note_delay(request, call, answer)
    }

    /// Posts, and opens the circuit at once if the server wants no further request for a while.
    fn post_and_note_delay(
        &self,
        request: &BuildRequest<'_>,
        call: &Call,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, Unavailable> {
        let result = self.shared.post(request, call, answer);
        if let Err(reason @ Unavailable::RetryAfter { delay, .. }) = result
            && self.shared.circuit_breaker.open_for(delay, Instant::now())
        {
            log_opening(delay, reason);
            self.start_probes();
        }
        result
    }

    /// Probes the model from now on, on a thread that ends when the circuit closes, unless there is one.
    fn start_probes(&self) {
        if !self.shared.circuit_breaker.begin_probes() {
            return;
        }
        let (shared, end) = (self.shared.clone(), self.end_of_probes.clone());
        let probe = move || {
            // The panic hook has logged a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| shared.probe_until_closed(&end)));
            shared.circuit_breaker.give_up_probing();
        };
        if thread::Builder::new().name("model probe".to_owned()).spawn(probe).is_err() {
            // Nothing else would close it.
            self.shared.circuit_breaker.give_up_probing();
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.end_of_probes.cancel();
    }
}

impl Shared {
    /// Sends a request, and sends it again without what the server refuses of it.
    fn post_without_refused_fields(
        &self,
        request: &BuildRequest<'_>,
        call: &Call,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, Failure> {
        let first = *self.options.lock();
        let (mut options, mut is_certain) = (first, true);
        let mut json = request(options);
        let mut result = self.endpoint.post(&json, call, answer);
        for _ in 1..MAX_REQUESTS {
            let Err(Failure::Refused(refusal)) = &result else { break };
            let Some(next) = options.after(refusal).filter(|_| !self.circuit_breaker.is_waiting(Instant::now())) else {
                break;
            };
            // A server that quotes what a person says, or fails for another reason, changes this request only.
            is_certain &= refusal.status != 500 && !options.are_named_in(&json);
            options = next;
            let previous = std::mem::replace(&mut json, request(options));
            if json == previous {
                break;
            }
            result = self.endpoint.post(&json, call, answer);
        }
        if options != first && is_certain && result.is_ok() {
            *self.options.lock() = options.for_later(first);
            if first.sends_store && !options.sends_store {
                log::warn!("The model's server refuses store, so requests no longer ask it not to keep conversations");
            }
        }
        if options.context_divisor > 1 && !self.is_context_told.swap(true, Ordering::Relaxed) {
            log::warn!("The model's context is shorter than a conversation; lower COMPANION_CONTEXT_CHARS");
        }
        result
    }

    fn post(
        &self,
        request: &BuildRequest<'_>,
        call: &Call,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, Unavailable> {
        self.post_without_refused_fields(request, call, answer).map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal.reason(),
            Failure::Unavailable(reason) => reason,
        })
    }

    /// Sends a fixed request, and again whenever the circuit has been open for its time, until one shows that the model answers.
    /// The connection of each is closed after the first piece.
    fn probe_until_closed(&self, end: &CancellationToken) {
        let request = |options| completion_request::probe(&self.settings, options);
        while let Some((wait, admission)) = self.circuit_breaker.next_probe(Instant::now()) {
            if !wait.is_zero() {
                if is_cancelled_within(wait, end) {
                    return;
                }
                // A call that began before may have moved the time meanwhile.
                continue;
            }
            let deadline = Instant::now() + self.probe_timeout;
            let call = Call { deadline, has_full_time: true, cancellation: end.clone() };
            let mut ignore = |_: &str| {};
            let mut answer = AnswerText::for_probe(&mut ignore);
            let result = self.post(&request, &call, &mut answer);
            if end.is_cancelled() {
                return;
            }
            if outcome(result, &call, &answer) == Some(Outcome::Success) {
                if self.circuit_breaker.probe_succeeded(admission) {
                    log::warn!("The model answers again");
                }
                continue;
            }
            let opened = self.circuit_breaker.probe_failed(Instant::now());
            if let (Some(duration), Err(reason)) = (opened, result) {
                log_opening(duration, reason);
            }
            if let Err(Unavailable::RetryAfter { delay, .. }) = result {
                self.circuit_breaker.open_for(delay, Instant::now());
            }
        }
    }
}

impl Model {
    /// Its host, and what that gets.
    pub(super) fn host(&self) -> ModelHost {
        let settings = &self.shared.settings;
        ModelHost {
            name: settings.host().to_owned(),
            location: connector::location(settings.host(), settings.local_only),
            is_encrypted: settings.base_url.scheme_str() == Some("https"),
            max_chars: settings.context_chars,
            asks_not_to_store: self.shared.options.lock().sends_store,
        }
    }

    /// The number of characters of a conversation that it is sent.
    pub(super) fn context_chars(&self) -> usize {
        self.shared.settings.context_chars
    }

    /// Answers the last message of a conversation as the system prompt says, with only the numbers that the filter lets through.
    ///
    /// # Errors
    /// Why there is no answer; the pieces until then are not one.
    pub(super) fn answer(
        &self,
        messages: &[ChatMessage],
        filter: NumberFilter<'_>,
        call: &Call,
        on_delta: &mut dyn FnMut(&str),
    ) -> Result<Finish, Unavailable> {
        self.ask(&self.shared.prompt, messages, call, &mut AnswerText::new(on_delta).filtered(filter))
    }

    /// Answers a text as this instruction says, which takes the place of the system prompt.
    ///
    /// # Errors
    /// Why there is no answer, or only a part of one ([`Unavailable::Interrupted`]).
    pub(super) fn rewrite(&self, instruction: &str, text: &str, call: &Call) -> Result<String, Unavailable> {
        let message = ChatMessage { role: Role::User, text: text.to_owned() };
        let mut answer = String::new();
        let mut append = |piece: &str| answer.push_str(piece);
        match self.ask(instruction, &[message], call, &mut AnswerText::new(&mut append))? {
            Finish::Complete => Ok(answer),
            Finish::Cut => Err(Unavailable::Interrupted),
        }
    }

    /// Sends a question once more, and returns the status and the body of the server's refusal, without the key. `None` if it
    /// does not refuse it. Only for a question without anything of a conversation: the server may quote it.
    pub(super) fn refusal_of(&self, question: &[ChatMessage], call: &Call) -> Option<String> {
        let Shared { settings, prompt, .. } = &*self.shared;
        let request = |options| completion_request::request(settings, options, prompt, question);
        match self.shared.post_without_refused_fields(&request, call, &mut AnswerText::new(&mut |_| {})) {
            Err(Failure::Refused(refusal)) => Some(match &settings.api_key {
                Some(key) => refusal.body.replace(key.expose(), "\u{2026}"),
                None => refusal.body,
            }),
            _ => None,
        }
    }

    fn ask(
        &self,
        prompt: &str,
        messages: &[ChatMessage],
        call: &Call,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, Unavailable> {
        if call.cancellation.is_cancelled() {
            return Err(Unavailable::Cancelled);
        }
        if Instant::now() >= call.deadline {
            // The circuit breaker does not count it: the server got no request.
            return Err(Unavailable::TimedOut);
        }
        let Shared { settings, circuit_breaker, .. } = &*self.shared;
        let admission = circuit_breaker.admit(Instant::now()).map_err(Unavailable::CircuitOpen)?;
        let request = |options| completion_request::request(settings, options, prompt, messages);
        let result = self.post_with_retry(&request, call, answer);
        // First, because a connection that the cancellation closed can look like the end of an answer.
        let result = if call.cancellation.is_cancelled() { Err(Unavailable::Cancelled) } else { result };
        if let Some(outcome) = outcome(result, call, answer) {
            circuit_breaker.report(admission, outcome);
            self.start_probes();
        }
        result
    }
}

fn log_opening(duration: Duration, reason: Unavailable) {
    log::warn!(open_s = duration.as_secs(), reason:% = reason; "The model is not asked for a while");
}

/// What a call shows of the server's health. After the first piece the server answers, whatever ends the call: a long answer
/// reaches the deadline of any server. A filtered or empty answer and a request refused for its content (400, 413, 422) come
/// from a healthy server too: one user's messages must not open the circuit for all others. A cancelled call without a piece
/// shows nothing, nor does the deadline of a call that had to wait before.
fn outcome(result: Result<Finish, Unavailable>, call: &Call, answer: &AnswerText<'_>) -> Option<Outcome> {
    use Unavailable::{Cancelled, Empty, Filtered, Refused, TimedOut};
    match result {
        _ if answer.has_begun() => Some(Outcome::Success),
        Ok(_) | Err(Filtered | Empty | Refused(400 | 413 | 422)) => Some(Outcome::Success),
        Err(Cancelled) => None,
        Err(TimedOut) if !call.has_full_time => None,
        Err(_) => Some(Outcome::Failure),
    }
}

/// Whether the same request may succeed a moment later.
fn is_transient(failure: Unavailable) -> bool {
    match failure {
        Unavailable::NotReached | Unavailable::Interrupted | Unavailable::RetryAfter { .. } => true,
        Unavailable::Refused(status) => refusal::is_transient(status),
        _ => false,
    }
}

/// Waits for the delay, or returns true as soon as the token is cancelled.
fn is_cancelled_within(delay: Duration, cancellation: &CancellationToken) -> bool {
    let (sender, receiver) = mpsc::channel();
    cancellation.on_cancel(move || _ = sender.send(()));
    receiver.recv_timeout(delay).is_ok()
}
