//! The companion: the script, and perhaps the model of an OpenAI-compatible server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::database::Authorities;
use super::reader::Reader;
use crate::peers::is_local;

/// The companion and its bounds (`COMPANION_*`, `OPENAI_*`, `GOOGLE_API_KEY`).
#[derive(Debug)]
pub struct CompanionSettings {
    /// The file of the script (`COMPANION_SCRIPT`); `None` for the embedded one. It answers where no model does, and tells
    /// which messages speak of danger.
    pub script: Option<PathBuf>,
    /// The model that answers, if there is one.
    pub model: Option<ModelSettings>,
    /// From a request to its answer; less than `APP_REQUEST_TIMEOUT`.
    pub timeout: Duration,
    /// Turns that are with the companion at once, at least 1.
    pub concurrency: usize,
}

/// A model, and what is sent to it.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// The URL that `/chat/completions` is appended to: http or https, with a host, without a user, a query or a fragment.
    pub base_url: Uri,
    /// The bearer token, where the server requires one.
    pub api_key: Option<Secret>,
    /// The server's name of the model.
    pub model: String,
    /// Maximum of characters of the conversation in a request, without the system prompt.
    pub context_chars: usize,
    /// Whether connections are restricted to this machine and private networks.
    pub local_only: bool,
    /// The file of the system prompt; `None` for the embedded one.
    pub prompt: Option<PathBuf>,
    /// Whether `"store": false` is sent. It asks OpenAI not to keep the conversation. Most servers ignore it; some reject
    /// the request, such as Google with `Unknown name "store": Cannot find field`.
    pub sends_store: bool,
    /// The authorities to trust for the server's certificate: those of the system, except in tests.
    pub authorities: Authorities,
}

impl ModelSettings {
    /// The host without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        bare_host(&self.base_url)
    }
}

/// A text that `Debug` does not print.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

impl CompanionSettings {
    /// The host to which messages are sent; `None` where no model answers.
    #[must_use]
    pub fn model_host(&self) -> Option<&str> {
        self.model.as_ref().and_then(|model| model.base_url.host())
    }
}

impl fmt::Display for CompanionSettings {
    /// For the operator: `script, embedded`, or `model NAME at HOST, egress any; script, embedded`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(settings) = &self.model {
            let authority = settings.base_url.authority().map_or("", |authority| authority.as_str());
            let egress = if settings.local_only { "local" } else { "any" };
            write!(formatter, "model {} at {authority}, egress {egress}; ", settings.model)?;
        }
        match &self.script {
            None => formatter.write_str("script, embedded"),
            Some(path) => write!(formatter, "script, {}", path.display()),
        }
    }
}

/// Hosts that reject a request with `store`, according to public reports of 2024 to 2026.
const HOSTS_WITHOUT_STORE: [&str; 4] =
    ["generativelanguage.googleapis.com", "api.mistral.ai", "api.cerebras.ai", "api.groq.com"];

pub(super) fn read(reader: &mut Reader, request_timeout: Duration) -> CompanionSettings {
    let timeout = read_timeout(reader, request_timeout);
    let concurrency = reader.number("COMPANION_CONCURRENCY", 1..=4096);
    let script = reader.path("COMPANION_SCRIPT");
    let model = read_model(reader);
    if let Some(settings) = &model
        && settings.base_url.scheme_str() == Some("http")
        && !settings.local_only
        && !looks_local(settings.host())
    {
        let text = "OPENAI_BASE_URL is plain http to another network: \
                    anyone on the network path can read every conversation; use https";
        reader.warnings.push(text.to_owned());
    }
    CompanionSettings { script, model, timeout, concurrency }
}

fn read_model(reader: &mut Reader) -> Option<ModelSettings> {
    let context_chars = reader.number("COMPANION_CONTEXT_CHARS", 1000..=1_000_000);
    let local_only = reader.choice("COMPANION_EGRESS", &[("any", false), ("local", true)]);
    let model = reader.set("COMPANION_MODEL");
    let (model, base_url, key) = if let Some(url) = reader.set("OPENAI_BASE_URL") {
        reader.warn_unused(&["GOOGLE_API_KEY"], "the model at OPENAI_BASE_URL answers");
        if model.is_none() {
            reader.problem("COMPANION_MODEL", "required with OPENAI_BASE_URL: a model's name, as that server has it");
        }
        let base_url = parse_url(&url, local_only).unwrap_or_else(|problem| {
            reader.problem("OPENAI_BASE_URL", problem);
            Uri::default()
        });
        (model.unwrap_or_default(), base_url, "OPENAI_API_KEY")
    } else if reader.is_given("GOOGLE_API_KEY") {
        let answers = "GOOGLE_API_KEY alone asks Google's model; remove it for another";
        reader.warn_unused(&["OPENAI_API_KEY"], answers);
        if local_only {
            let problem = "local, and GOOGLE_API_KEY alone asks Google; remove that, or set OPENAI_BASE_URL";
            reader.problem("COMPANION_EGRESS", problem);
        }
        let base_url = Uri::from_static("https://generativelanguage.googleapis.com/v1beta/openai");
        (model.unwrap_or_else(|| "gemini-2.5-flash-lite".to_owned()), base_url, "GOOGLE_API_KEY")
    } else {
        let answers = "the script answers; set OPENAI_BASE_URL for a model to";
        reader.warn_unused(&["OPENAI_API_KEY", "COMPANION_MODEL", "COMPANION_PROMPT"], answers);
        return None;
    };
    Some(ModelSettings {
        sends_store: !HOSTS_WITHOUT_STORE.contains(&bare_host(&base_url).to_ascii_lowercase().as_str()),
        base_url,
        api_key: read_key(reader, key),
        model,
        context_chars,
        local_only,
        prompt: reader.path("COMPANION_PROMPT"),
        authorities: Authorities::System,
    })
}

fn read_timeout(reader: &mut Reader, request_timeout: Duration) -> Duration {
    let timeout = Duration::from_secs(reader.number("COMPANION_TIMEOUT", 2..=300));
    if timeout < request_timeout {
        return timeout;
    }
    // A timeout that was set contradicts the other; the default is lowered.
    if reader.set("COMPANION_TIMEOUT").is_some() {
        let (seconds, limit) = (timeout.as_secs(), request_timeout.as_secs());
        reader.problem("COMPANION_TIMEOUT", format_args!("{seconds} is not less than APP_REQUEST_TIMEOUT, {limit}"));
    }
    request_timeout * 4 / 5
}

/// Problems never quote the URL, which may hold a password.
fn parse_url(url: &str, local_only: bool) -> Result<Uri, &'static str> {
    if url.contains(['?', '#']) {
        return Err("it has a query or a fragment; it ends with its path, as in https://api.openai.com/v1");
    }
    if url.contains('@') {
        return Err("it has a user in it; a key belongs in OPENAI_API_KEY");
    }
    if url.trim_end_matches('/').ends_with("/chat/completions") {
        return Err("it ends with /chat/completions, which is added to it; leave that away");
    }
    let form = "not a URL of the form https://host:port/path, or http://";
    let base_url: Uri = url.trim_end_matches('/').parse().map_err(|_| form)?;
    let (Some("http" | "https"), Some(authority)) = (base_url.scheme_str(), base_url.authority()) else {
        return Err(form);
    };
    let port = "its port is not a number from 1 to 65535";
    let has_port = authority.as_str().len() > authority.host().len();
    match authority.port_u16() {
        _ if authority.host().is_empty() => Err(form),
        Some(0) => Err(port),
        None if has_port => Err(port),
        _ if local_only && bare_host(&base_url).parse().is_ok_and(|address| !is_local(address)) => {
            Err("COMPANION_EGRESS is local, and its address is neither loopback nor private")
        }
        _ => Ok(base_url),
    }
}

fn bare_host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn read_key(reader: &mut Reader, name: &str) -> Option<Secret> {
    let key = reader.set(name)?;
    if !key.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'".contains(&byte)) {
        reader.problem(name, "it has a space, a quote, or a character that is not ASCII, which no key has");
    }
    Some(Secret(key))
}

/// Whether a host is a local address, or a name that only private networks resolve. For a warning only: the addresses of a
/// name are known when it is resolved.
fn looks_local(host: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".localhost", ".local", ".internal", ".lan", ".home.arpa"];
    match host.parse() {
        Ok(address) => is_local(address),
        // A name without a dot, such as a container's, is not on the public Internet.
        Err(_) => !host.contains('.') || SUFFIXES.iter().any(|suffix| host.to_ascii_lowercase().ends_with(suffix)),
    }
}
