//! The requests that the fake model accepts: the published schema of `POST /v1/chat/completions`, without the fields that
//! could identify a user.

use std::io::{self, BufRead, ErrorKind, Read};

use serde_json::Value;

/// The only key that the fake accepts.
pub(crate) const API_KEY: &str = "stand-in-key-5f0c";

/// The only model name that it accepts.
pub(crate) const MODEL: &str = "stand-in-model";

/// The header fields that a request may have. None of them identifies a user.
const FIELDS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
];

/// An HTTP request as received.
pub(super) struct Request {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A valid request to the API.
#[derive(Debug, Clone)]
pub(crate) struct CompletionRequest {
    /// Role and content of each.
    pub(crate) messages: Vec<(String, String)>,
    pub(crate) is_streamed: bool,
}

impl CompletionRequest {
    /// The last message, which is to be answered.
    pub(crate) fn question(&self) -> &str {
        &self.messages.last().expect("the schema requires one").1
    }

    /// Whether it is a probe of the circuit breaker, which holds nothing of a conversation.
    pub(crate) fn is_probe(&self) -> bool {
        matches!(&*self.messages, [(role, content)] if role == "user" && content == "Hello.")
    }
}

impl Request {
    /// Reads a request; `None` if the client closed the connection before it. A truncated one is an error.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(ErrorKind::UnexpectedEof)?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { line, fields, body: Vec::new() };
        let length: u64 = request.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let read = reader.take(length).read_to_end(&mut request.body)?;
        if u64::try_from(read) == Ok(length) { Ok(Some(request)) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Head and body, the names of the header fields in lower case.
    pub(super) fn raw(&self) -> String {
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{fields}\r\n{}", self.line, String::from_utf8_lossy(&self.body))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Checks the request against the schema, or describes its violation.
    pub(super) fn check(&self, host: &str) -> Result<CompletionRequest, String> {
        require(self.line == "POST /v1/chat/completions HTTP/1.1", || format!("the request line is {:?}", self.line))?;
        for (at, (name, value)) in self.fields.iter().enumerate() {
            require(FIELDS.contains(&name.as_str()), || format!("it has a field {name}"))?;
            require(self.fields[..at].iter().all(|(other, _)| other != name), || format!("it has {name} twice"))?;
            require(!has_uuid(value), || format!("{name} contains a possible id"))?;
        }
        require(self.field("authorization") == Some(&format!("Bearer {API_KEY}")), || "it has another key".to_owned())?;
        require(self.field("host") == Some(host), || format!("it is for the host {:?}", self.field("host")))?;
        require(self.field("content-type") == Some("application/json"), || "the content type is not JSON".to_owned())?;
        require(self.field("content-length").is_some(), || "it has no length".to_owned())?;
        let text = std::str::from_utf8(&self.body).map_err(|error| error.to_string())?;
        require(!has_uuid(text), || "its body contains a possible id".to_owned())?;
        check_body(&serde_json::from_str(text).map_err(|error| error.to_string())?)
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn check_body(body: &Value) -> Result<CompletionRequest, String> {
    let mut request = CompletionRequest { messages: Vec::new(), is_streamed: false };
    for (name, value) in body.as_object().ok_or("its body is no object")? {
        let is_valid = match name.as_str() {
            "model" => value == MODEL,
            "messages" => {
                for message in value.as_array().ok_or("its messages are no array")? {
                    request.messages.push(check_message(message)?);
                }
                true
            }
            "stream" => {
                request.is_streamed = value == true;
                value.is_boolean()
            }
            // Without it, the provider may keep the conversation.
            "store" => value == false,
            "max_tokens" | "max_completion_tokens" => value.as_u64().is_some_and(|count| count > 0),
            "temperature" => value.as_f64().is_some_and(|number| (0.0..=2.0).contains(&number)),
            "top_p" => value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)),
            "n" => value == 1,
            _ => false,
        };
        require(is_valid, || format!("the field {name} is unknown or has an invalid value"))?;
    }
    require(body.get("model").is_some(), || "it names no model".to_owned())?;
    require(body.get("store").is_some(), || "it has no store: false".to_owned())?;
    require(request.is_probe() || request.messages.first().is_some_and(|(role, _)| role == "system"), || {
        "the first message is not the system prompt".to_owned()
    })?;
    require(request.messages.last().is_some_and(|(role, _)| role == "user"), || {
        "the last message is not the user's".to_owned()
    })?;
    Ok(request)
}

fn check_message(message: &Value) -> Result<(String, String), String> {
    let fields = message.as_object().ok_or("a message is no object")?;
    require(fields.keys().eq(["content", "role"]), || format!("a message has {:?}", fields.keys()))?;
    let role = fields["role"].as_str().filter(|role| ["system", "user", "assistant"].contains(role));
    let content = fields["content"].as_str().filter(|content| !content.is_empty());
    let role = role.ok_or_else(|| format!("a message has the role {}", fields["role"]))?;
    Ok((role.to_owned(), content.ok_or("a message has no content")?.to_owned()))
}

fn require(is_valid: bool, violation: impl FnOnce() -> String) -> Result<(), String> {
    if is_valid { Ok(()) } else { Err(violation()) }
}

/// Whether 32 hexadecimal digits follow each other, with or without hyphens between them.
fn has_uuid(text: &str) -> bool {
    let mut digits = 0;
    text.bytes().any(|byte| {
        match byte {
            b'-' => {}
            byte if byte.is_ascii_hexdigit() => digits += 1,
            _ => digits = 0,
        }
        digits >= 32
    })
}
