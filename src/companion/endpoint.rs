//! One HTTP exchange with an OpenAI-compatible chat completions endpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Request, StatusCode, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Error, Timeout};

use super::answer_text::AnswerText;
use super::completion_reader::{self, ReadError};
use super::connector::{self, Connection, EgressResolver, ObservedConnector};
use super::interface::{Call, Finish, Unavailable};
use super::refusal::{self, Refusal};
use crate::config::ModelSettings;

/// Bytes of each of the two buffers of a call.
const BUFFER_BYTES: usize = 16 * 1024;

/// The limit of name resolution and of connecting, each; less if the call's deadline comes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the rest of a response is waited for once it can tell little: after the `finish_reason`, and after the head of a
/// refusal.
const REST_TIMEOUT: Duration = Duration::from_secs(2);

/// The successful statuses of responses without a body (RFC 9110, section 15.3).
const HAS_NO_BODY: [StatusCode; 2] = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];

/// Why an exchange gave no answer.
pub(super) enum Failure {
    Unavailable(Unavailable),
    Refused(Refusal),
}

enum ExchangeError {
    Read(ReadError),
    Refused(Refusal),
}

impl From<Unavailable> for ExchangeError {
    fn from(reason: Unavailable) -> ExchangeError {
        ExchangeError::Read(reason.into())
    }
}

impl From<ReadError> for ExchangeError {
    fn from(error: ReadError) -> ExchangeError {
        ExchangeError::Read(error)
    }
}

/// A chat completions endpoint.
pub(super) struct Endpoint {
    url: Uri,
    authorization: Option<HeaderValue>,
    tls: TlsConfig,
    connector: Arc<DefaultConnector>,
    local_only: bool,
}

/// Why the settings of a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The base URL and `/chat/completions` form no URL.
    #[error("OPENAI_BASE_URL: not an address that a path can be appended to; use the form https://host:port/path")]
    InvalidUrl,
    /// Egress is limited to local addresses, and the host has public ones only.
    #[error(
        "OPENAI_BASE_URL: COMPANION_EGRESS is local, and {0} leads to public addresses only; \
         name a server on this machine or in a private network, or set COMPANION_EGRESS=any"
    )]
    PublicHost(String),
    /// There is no certificate authority to trust.
    #[error(
        "OPENAI_BASE_URL: the system has no certificate authorities, so https cannot be used; \
         install them (package ca-certificates), or name a file in SSL_CERT_FILE"
    )]
    NoAuthorities,
}

impl Endpoint {
    /// The endpoint of these settings. Opens no connection, but resolves the host if its addresses must be local.
    pub(super) fn new(settings: &ModelSettings) -> Result<Endpoint, EndpointError> {
        let is_https = settings.base_url.scheme_str() == Some("https");
        let port = settings.base_url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if settings.local_only && connector::has_only_public_addresses(settings.host(), port) {
            return Err(EndpointError::PublicHost(settings.host().to_owned()));
        }
        let url = format!("{}/chat/completions", settings.base_url.to_string().trim_end_matches('/'));
        let url = url.parse().map_err(|_| EndpointError::InvalidUrl)?;
        let authorization = settings.api_key.as_ref().map(|key| {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
            let mut bearer = bearer.expect("a key has only visible ASCII characters");
            bearer.set_sensitive(true);
            bearer
        });
        let tls = match is_https {
            true => connector::tls_config(&settings.authorities).ok_or(EndpointError::NoAuthorities)?,
            false => TlsConfig::default(),
        };
        Ok(Endpoint { url, authorization, tls, connector: Arc::default(), local_only: settings.local_only })
    }

    /// Sends a request and passes the answer on, until the call's deadline or cancellation.
    pub(super) fn post(&self, json: &[u8], call: &Call, answer: &mut AnswerText<'_>) -> Result<Finish, Failure> {
        let time_left = call.deadline.saturating_duration_since(Instant::now());
        if time_left.is_zero() {
            return Err(Failure::Unavailable(Unavailable::TimedOut));
        }
        let connection = Arc::new(Connection::default());
        let agent = self.agent(time_left, connection.clone());
        // Shutting the agent down closes its connection, and prevents one that is not open yet.
        let on_cancel = agent.clone();
        call.cancellation.on_cancel(move || on_cancel.shutdown());
        let result = self.exchange(&agent, json, &connection, answer);
        call.cancellation.on_cancel(|| {});
        let error = match result {
            Ok(finish) => return Ok(finish),
            Err(ExchangeError::Refused(refusal)) => return Err(Failure::Refused(refusal)),
            Err(ExchangeError::Read(error)) => error,
        };
        Err(Failure::Unavailable(match error {
            ReadError::Unavailable(reason) => reason,
            ReadError::Transport(_) if Instant::now() >= call.deadline => Unavailable::TimedOut,
            ReadError::Transport(Error::Timeout(Timeout::Resolve | Timeout::Connect)) => Unavailable::NotReached,
            ReadError::Transport(Error::Timeout(_)) => Unavailable::TimedOut,
            ReadError::Transport(_) if !connection.is_established() => Unavailable::NotReached,
            ReadError::Transport(Error::Io(_)) => Unavailable::Interrupted,
            ReadError::Transport(_) => Unavailable::MalformedReply,
        }))
    }

    fn exchange(
        &self,
        agent: &Agent,
        json: &[u8],
        connection: &Connection,
        answer: &mut AnswerText<'_>,
    ) -> Result<Finish, ExchangeError> {
        let request = self.request().body(json).expect("the URL and the header fields are valid");
        let response = agent.run(request).map_err(ReadError::from)?;
        let end_soon = || connection.end_reading_after(REST_TIMEOUT);
        if !response.status().is_success() || HAS_NO_BODY.contains(&response.status()) {
            end_soon();
            return Err(ExchangeError::Refused(Refusal::read(response)));
        }
        let delay = refusal::delay_in(response.headers());
        completion_reader::read(response.into_body().into_reader(), answer, &end_soon).map_err(|error| match error {
            // The server has begun its response before it knew that it would refuse.
            ReadError::Unavailable(Unavailable::Refused(status)) => refusal::reason(status, delay).into(),
            error => error.into(),
        })
    }

    fn request(&self) -> Builder {
        let request = Request::post(&self.url).header(CONTENT_TYPE, "application/json");
        // A proxy that compresses a stream holds its pieces back.
        let request = request.header(ACCEPT_ENCODING, "identity");
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// An agent for one call. Calls share no connections: a reused one that the server has closed fails a valid call, and a
    /// cancellation must close one call's connection only. They share the parsed TLS configuration.
    fn agent(&self, time_left: Duration, connection: Arc<Connection>) -> Agent {
        let connect_timeout = Some(time_left.min(CONNECT_TIMEOUT));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            // 128 KiB each by default, which a thousand calls would keep in the heap.
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .proxy(None)
            // Identical for all installations of a version.
            .user_agent(concat!("safespace/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(connect_timeout)
            .timeout_connect(connect_timeout)
            .timeout_global(Some(time_left))
            .tls_config(self.tls.clone());
        let connector = ObservedConnector { inner: self.connector.clone(), connection };
        let resolver = EgressResolver { local_only: self.local_only, system: DefaultResolver::default() };
        Agent::with_parts(config.build(), connector, resolver)
    }
}
