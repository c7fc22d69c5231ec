//! Asks the service, or the proxy in front of it, over HTTP.

use std::io::Read;
use std::time::Duration;

use ureq::http::HeaderMap;
use ureq::tls::TlsConfig;
use ureq::{Agent, Error};

/// The time for one request, from the name of the host to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read.
const MAX_BODY_BYTES: u64 = 64 * 1024;

/// Asks without following redirects, and without a proxy that the environment names.
pub(super) struct Asker(Agent);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Its beginning.
    pub(super) body: String,
}

impl Asker {
    /// `tls` is for https; without it only http can be asked.
    pub(super) fn new(tls: Option<TlsConfig>) -> Asker {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(concat!("safespace-doctor/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(TIMEOUT))
            .timeout_connect(Some(TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls.unwrap_or_default());
        Asker(config.build().into())
    }

    /// Asks for JSON.
    pub(super) fn get(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer, Error> {
        let request = self.0.get(url).header("Accept", "application/json");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (head, body) = request.call()?.into_parts();
        let mut bytes = Vec::new();
        body.into_reader().take(MAX_BODY_BYTES).read_to_end(&mut bytes)?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

impl Answer {
    /// The values of a header field, joined as a list.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The text at a key of the JSON object.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let object: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        object.get(key)?.as_str().map(str::to_owned)
    }
}

/// Whether TLS failed, such as for a certificate that is not valid.
pub(super) fn is_of_tls(error: &Error) -> bool {
    match error {
        Error::Tls(_) | Error::Rustls(_) => true,
        Error::Io(error) => error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>),
        _ => false,
    }
}
