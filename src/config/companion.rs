//! The companion: the script, or the model of an OpenAI-compatible server.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;

use super::locality::{is_local, looks_local};
use super::reader::Reader;
use super::tls::Authorities;

/// The companion and its bounds (`COMPANION_*`, `OPENAI_*`, `GOOGLE_API_KEY`).
#[derive(Debug)]
pub struct CompanionSettings {
    /// Script or model.
    pub kind: Kind,
    /// From a request to its answer; less than `APP_REQUEST_TIMEOUT`.
    pub timeout: Duration,
    /// Turns that are with the companion at once, at least 1.
    pub concurrency: usize,
    /// What the operator should know although the settings can be used.
    pub(super) warnings: Vec<String>,
}

/// Which companion answers.
#[derive(Debug)]
pub enum Kind {
    /// Prepared replies: the embedded ones, or those of a file.
    Script {
        /// The file (`COMPANION_SCRIPT`); `None` for the embedded replies.
        path: Option<PathBuf>,
    },
    /// A model.
    Model(ModelSettings),
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

impl fmt::Display for CompanionSettings {
    /// For the operator: `script, embedded`, or `model NAME at HOST, egress any`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Script { path: None } => formatter.write_str("script, embedded"),
            Kind::Script { path: Some(path) } => write!(formatter, "script, {}", path.display()),
            Kind::Model(settings) => {
                let authority = settings.base_url.authority().map_or("", |authority| authority.as_str());
                let egress = if settings.local_only { "local" } else { "any" };
                write!(formatter, "model {} at {authority}, egress {egress}", settings.model)
            }
        }
    }
}

/// The values of `COMPANION_EGRESS`, and whether each restricts connections to local addresses.
const EGRESS: [(&str, bool); 2] = [("any", false), ("local", true)];

/// Hosts that reject a request with `store`, according to public reports of 2024 to 2026.
const HOSTS_WITHOUT_STORE: [&str; 4] =
    ["generativelanguage.googleapis.com", "api.mistral.ai", "api.cerebras.ai", "api.groq.com"];

const GOOGLE_URL: &str = "https://generativelanguage.googleapis.com/v1beta/openai";

/// The default model with `GOOGLE_API_KEY`.
const GOOGLE_MODEL: &str = "gemini-2.5-flash-lite";

pub(super) fn read(reader: &mut Reader<'_>, request_timeout: Duration) -> CompanionSettings {
    let timeout = read_timeout(reader, request_timeout);
    let concurrency = reader.number("COMPANION_CONCURRENCY", 1..=4096);
    let context_chars = reader.number("COMPANION_CONTEXT_CHARS", 1000..=1_000_000);
    let local_only = reader.choice("COMPANION_EGRESS", &EGRESS);
    let settings = |base_url: Uri, api_key, model| ModelSettings {
        sends_store: !HOSTS_WITHOUT_STORE.contains(&bare_host(&base_url).to_ascii_lowercase().as_str()),
        base_url,
        api_key,
        model,
        context_chars,
        local_only,
        prompt: None,
        authorities: Authorities::System,
    };
    let mut kind = if let Some(url) = reader.set("OPENAI_BASE_URL") {
        let model = reader.set("COMPANION_MODEL").unwrap_or_else(|| {
            reader.problem("COMPANION_MODEL", "required with OPENAI_BASE_URL: a model's name, as that server has it");
            String::new()
        });
        let base_url = read_url(reader, &url, local_only);
        Kind::Model(settings(base_url, read_key(reader, "OPENAI_API_KEY"), model))
    } else if reader.is_given("GOOGLE_API_KEY") {
        if local_only {
            let problem = "local, and GOOGLE_API_KEY alone asks Google; remove that, or set OPENAI_BASE_URL";
            reader.problem("COMPANION_EGRESS", problem);
        }
        let model = reader.set("COMPANION_MODEL").unwrap_or_else(|| GOOGLE_MODEL.to_owned());
        Kind::Model(settings(Uri::from_static(GOOGLE_URL), read_key(reader, "GOOGLE_API_KEY"), model))
    } else {
        Kind::Script { path: reader.set("COMPANION_SCRIPT").map(PathBuf::from) }
    };
    if let Kind::Model(settings) = &mut kind {
        settings.prompt = reader.set("COMPANION_PROMPT").map(PathBuf::from);
    }
    let mut warnings = unused(reader, &kind);
    warnings.extend(plain_text_warning(&kind));
    CompanionSettings { kind, timeout, concurrency, warnings }
}

fn read_timeout(reader: &mut Reader<'_>, request_timeout: Duration) -> Duration {
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
fn read_url(reader: &mut Reader<'_>, url: &str, local_only: bool) -> Uri {
    let parsed = parse_url(url).and_then(|base_url| match bare_host(&base_url).parse::<IpAddr>() {
        Ok(address) if local_only && !is_local(address) => {
            Err("COMPANION_EGRESS is local, and its address is neither loopback nor private")
        }
        _ => Ok(base_url),
    });
    parsed.unwrap_or_else(|problem| {
        reader.problem("OPENAI_BASE_URL", problem);
        Uri::from_static("http://localhost")
    })
}

fn parse_url(url: &str) -> Result<Uri, &'static str> {
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
    let base_url: Uri = url.trim().trim_end_matches('/').parse().map_err(|_| form)?;
    let is_http = matches!(base_url.scheme_str(), Some("http" | "https"));
    let has_port = |host: &str| base_url.authority().is_some_and(|found| found.as_str().len() > host.len());
    match base_url.host() {
        Some(host) if is_http && !host.is_empty() => match base_url.port_u16() {
            Some(port) if port > 0 => Ok(base_url),
            None if !has_port(host) => Ok(base_url),
            _ => Err("its port is not a number from 1 to 65535"),
        },
        _ => Err(form),
    }
}

fn bare_host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn read_key(reader: &mut Reader<'_>, name: &str) -> Option<Secret> {
    let key = reader.set(name)?;
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.problem(name, "it has a space, or a character that is not ASCII, which no key has");
        return None;
    }
    Some(Secret(key))
}

/// A warning for each variable that is set and has no effect with this kind of companion.
fn unused(reader: &Reader<'_>, kind: &Kind) -> Vec<String> {
    let (answers, names): (_, &[&str]) = match kind {
        Kind::Script { .. } => {
            let answers = "the script answers; set OPENAI_BASE_URL for a model to";
            (answers, &["OPENAI_API_KEY", "COMPANION_MODEL", "COMPANION_PROMPT"])
        }
        Kind::Model(_) if reader.set("OPENAI_BASE_URL").is_some() => {
            ("the model at OPENAI_BASE_URL answers", &["GOOGLE_API_KEY", "COMPANION_SCRIPT"])
        }
        Kind::Model(_) => {
            ("GOOGLE_API_KEY alone asks Google's model; remove it for another", &["OPENAI_API_KEY", "COMPANION_SCRIPT"])
        }
    };
    let given = names.iter().filter(|name| reader.is_given(name));
    given.map(|name| format!("{name} is set and not used: {answers}")).collect()
}

fn plain_text_warning(kind: &Kind) -> Option<String> {
    let Kind::Model(settings) = kind else { return None };
    let is_plain_text = settings.base_url.scheme_str() == Some("http") && !settings.local_only;
    (is_plain_text && !looks_local(settings.host())).then(|| {
        "OPENAI_BASE_URL is plain http to another network: whoever is on the way can read every conversation; use https"
            .to_owned()
    })
}
