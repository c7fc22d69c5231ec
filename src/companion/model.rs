//! Any model behind an OpenAI-compatible address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderValue, Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Error, Timeout};

use super::breaker::{Breaker, Change, Outcome};
use super::chat_completions::Form;
use super::connect::{self, Connect};
use super::egress::{self, Egress};
use super::hear::{self, Voice};
use super::{Call, Companion, Said, Source, Unavailable};
use crate::config::ModelSettings;

/// A name is looked up, and a connection opened, within this each; or within what is left of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The wait before the one retry.
const PAUSE: Duration = Duration::from_millis(250);

/// With less time left after the pause, no answer would come anyway.
const LEAST_FOR_RETRY: Duration = Duration::from_secs(1);

/// The same for every installation of a version.
const USER_AGENT: &str = concat!("safespace/", env!("CARGO_PKG_VERSION"));

/// A model behind an OpenAI-compatible address.
pub struct Model {
    settings: ModelSettings,
    prompt: String,
    endpoint: Uri,
    authorization: Option<HeaderValue>,
    /// Where the address is https.
    tls: Option<TlsConfig>,
    connector: Arc<DefaultConnector>,
    breaker: Breaker,
}

/// Why a model cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The base URL and the path make no address.
    #[error("OPENAI_BASE_URL: not an address that a path can be appended to; use the form https://host:port/path")]
    Address,
    /// The key cannot be sent in a header.
    #[error("OPENAI_API_KEY or GOOGLE_API_KEY: it has a character that no HTTP header can have; write it anew")]
    Key,
    /// Only local addresses are allowed, and the name has none.
    #[error(
        "OPENAI_BASE_URL: COMPANION_EGRESS is local, and {0} leads to public addresses only; \
         name a server on this machine or in a private network, or set COMPANION_EGRESS=any"
    )]
    Public(String),
    /// Nobody is trusted to vouch for a server.
    #[error(
        "OPENAI_BASE_URL: the system has no certificate authorities, so https cannot be used; \
         install them (package ca-certificates), or name a file in SSL_CERT_FILE"
    )]
    NoAuthorities,
}

impl Model {
    /// Prepares calls; none is made, though the name is looked up where it has to be local.
    ///
    /// # Errors
    /// As [`ModelError`] has them.
    pub fn new(settings: ModelSettings, prompt: String) -> Result<Model, ModelError> {
        let is_https = settings.base_url.scheme_str() == Some("https");
        let port = settings.base_url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if settings.local_only && egress::leads_outside(settings.host(), port) {
            return Err(ModelError::Public(settings.host().to_owned()));
        }
        let base = settings.base_url.to_string();
        let endpoint = format!("{}/chat/completions", base.trim_end_matches('/'));
        let endpoint = endpoint.parse().map_err(|_| ModelError::Address)?;
        let authorization = match &settings.api_key {
            Some(key) => {
                let mut value =
                    HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| ModelError::Key)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let tls = match is_https {
            true => Some(connect::tls(&settings.authorities).ok_or(ModelError::NoAuthorities)?),
            false => None,
        };
        let (connector, breaker) = (Arc::default(), Breaker::default());
        Ok(Model { settings, prompt, endpoint, authorization, tls, connector, breaker })
    }

    /// Asks, and once more where that may help and nobody has heard a word yet.
    fn ask_twice(&self, body: &[u8], call: &Call, voice: &mut Voice<'_>) -> Result<(), Unavailable> {
        let failure = match self.ask(body, call, voice) {
            Err(failure) if is_passing(failure) && !voice.has_spoken() => failure,
            result => return result,
        };
        let left = call.deadline.saturating_duration_since(Instant::now());
        if left < PAUSE + LEAST_FOR_RETRY || is_cut_within(PAUSE, call) {
            return Err(failure);
        }
        self.ask(body, call, voice)
    }

    fn ask(&self, body: &[u8], call: &Call, voice: &mut Voice<'_>) -> Result<(), Unavailable> {
        let left = call.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unavailable::TooSlow);
        }
        let reached = Arc::new(AtomicBool::new(false));
        let agent = self.agent(left, reached.clone());
        let interrupted = agent.clone();
        // An agent that was shut down opens no connection any more, so it does not matter how far this is.
        call.cut.interrupt_with(move || interrupted.shutdown());
        let result = self.exchange(&agent, body, voice);
        call.cut.interrupt_with(|| {});
        result.map_err(|failure| match failure {
            hear::Failure::Known(reason) => reason,
            hear::Failure::Http(_) if Instant::now() >= call.deadline => Unavailable::TooSlow,
            hear::Failure::Http(error) => reason(&error, reached.load(Ordering::Relaxed)),
        })
    }

    fn exchange(&self, agent: &Agent, body: &[u8], voice: &mut Voice<'_>) -> Result<(), hear::Failure> {
        let mut request = Request::post(&self.endpoint).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body).expect("the address and the headers were made before");
        let response = agent.run(request).map_err(hear::Failure::Http)?;
        hear::answer(response, voice)
    }

    /// An agent for one call, so that no connection is used again: one that was closed in between would fail a call that
    /// is all right, and cutting a call could not close another's. The parameters of TLS are shared by all of them.
    fn agent(&self, left: Duration, reached: Arc<AtomicBool>) -> Agent {
        let connect_timeout = Some(left.min(CONNECT_TIMEOUT));
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(USER_AGENT)
            .timeout_resolve(connect_timeout)
            .timeout_connect(connect_timeout)
            .timeout_global(Some(left));
        if let Some(tls) = &self.tls {
            config = config.tls_config(tls.clone());
        }
        let connect = Connect { inner: self.connector.clone(), reached };
        Agent::with_parts(config.build(), connect, Egress::new(self.settings.local_only))
    }
}

impl Companion for Model {
    fn source(&self) -> Source {
        Source::Companion
    }

    fn context_chars(&self) -> usize {
        self.settings.context_chars
    }

    fn answer(&self, conversation: &[Said], call: &Call, say: &mut dyn FnMut(&str)) -> Result<(), Unavailable> {
        if call.cut.is_cut() {
            return Err(Unavailable::Cut);
        }
        if Instant::now() >= call.deadline {
            // That says nothing of the server.
            return Err(Unavailable::TooSlow);
        }
        let permit = self.breaker.admit(Instant::now()).map_err(Unavailable::Resting)?;
        let form = Form {
            model: &self.settings.model,
            prompt: &self.prompt,
            context_chars: self.settings.context_chars,
            sends_store: self.settings.sends_store,
        };
        let body = form.fill(conversation, call.is_streamed);
        let result = self.ask_twice(&body, call, &mut Voice::new(say));
        // Whatever it looked like: a connection that is shut can look like an answer that has ended.
        let result = if call.cut.is_cut() { Err(Unavailable::Cut) } else { result };
        let Some(outcome) = outcome(result) else { return result };
        match (permit.end(outcome, Instant::now()), result) {
            (Change::Opened(rest), Err(reason)) => {
                log::warn!(rest_s = rest.as_secs(), reason:% = reason; "The model is not asked for a while");
            }
            (Change::Closed, _) => log::info!("The model answers again"),
            _ => {}
        }
        result
    }
}

/// What an answer says of the server's health. One that was cut says nothing. What was withheld, left empty or refused
/// for what is in it (400, 413, 422) shows a server at work, and is about one conversation: one person's words must not
/// take the companion from everybody else.
fn outcome(result: Result<(), Unavailable>) -> Option<Outcome> {
    use Unavailable::{Cut, Empty, Filtered, Refused};
    match result {
        Err(Cut) => None,
        Ok(()) | Err(Filtered | Empty | Refused(400 | 413 | 422)) => Some(Outcome::Answered),
        Err(_) => Some(Outcome::Failed),
    }
}

/// Whether the same may work in a moment.
fn is_passing(failure: Unavailable) -> bool {
    use Unavailable::{BrokeOff, NotReached, Refused};
    matches!(failure, NotReached | BrokeOff | Refused(429 | 500 | 502 | 503 | 504))
}

/// Waits, and says whether the call was cut meanwhile.
fn is_cut_within(pause: Duration, call: &Call) -> bool {
    let (sender, receiver) = mpsc::channel();
    call.cut.interrupt_with(move || _ = sender.send(()));
    receiver.recv_timeout(pause).is_ok()
}

fn reason(error: &Error, was_reached: bool) -> Unavailable {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Unavailable::NotReached,
        Error::Timeout(_) => Unavailable::TooSlow,
        _ if !was_reached => Unavailable::NotReached,
        Error::Io(_) => Unavailable::BrokeOff,
        _ => Unavailable::Nonsense,
    }
}
