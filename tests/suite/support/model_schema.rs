//! What a request to a model may look like: the published schema of `POST /v1/chat/completions`, less whatever could say
//! who asks.

use std::io::{self, BufRead, ErrorKind, Read};

use serde_json::Value;

/// The only key the stand-in takes.
pub(crate) const API_KEY: &str = "stand-in-key-5f0c";

/// The only model it has.
pub(crate) const MODEL: &str = "stand-in-model";

/// What may stand in the head of a request. None of them can tell one person from another.
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

/// A request as it came.
pub(crate) struct Request {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Each with its role.
    pub(crate) messages: Vec<(String, String)>,
    pub(crate) is_streamed: bool,
}

impl Asked {
    /// The last words, which are those to be answered.
    pub(crate) fn last(&self) -> &str {
        &self.messages.last().expect("the schema asks for one").1
    }
}

impl Request {
    /// Reads one; none where the client closed the connection before it. One that is cut is no request.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
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

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Says what was asked, or what is wrong with it.
    pub(crate) fn check(&self, host: &str) -> Result<Asked, String> {
        demand(self.line == "POST /v1/chat/completions HTTP/1.1", || format!("its line is {:?}", self.line))?;
        for (at, (name, value)) in self.fields.iter().enumerate() {
            demand(FIELDS.contains(&name.as_str()), || format!("it has a field {name}"))?;
            demand(self.fields[..at].iter().all(|(other, _)| other != name), || format!("it has {name} twice"))?;
            demand(!has_uuid(value), || format!("{name} has something like an id"))?;
        }
        demand(self.field("authorization") == Some(&format!("Bearer {API_KEY}")), || "it has another key".to_owned())?;
        demand(self.field("host") == Some(host), || format!("it is for the host {:?}", self.field("host")))?;
        demand(self.field("content-type") == Some("application/json"), || "it is not said to be JSON".to_owned())?;
        demand(self.field("content-length").is_some(), || "it has no length".to_owned())?;
        let text = std::str::from_utf8(&self.body).map_err(|error| error.to_string())?;
        demand(!has_uuid(text), || "its body has something like an id".to_owned())?;
        check_body(&serde_json::from_str(text).map_err(|error| error.to_string())?)
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn check_body(body: &Value) -> Result<Asked, String> {
    let mut asked = Asked { messages: Vec::new(), is_streamed: false };
    for (name, value) in body.as_object().ok_or("its body is no object")? {
        let is_right = match name.as_str() {
            "model" => value == MODEL,
            "messages" => {
                for message in value.as_array().ok_or("its messages are no array")? {
                    asked.messages.push(check_message(message)?);
                }
                true
            }
            "stream" => {
                asked.is_streamed = value == true;
                value.is_boolean()
            }
            // Left out, the provider may keep what was said.
            "store" => value == false,
            "max_tokens" | "max_completion_tokens" => value.as_u64().is_some_and(|count| count > 0),
            "temperature" => value.as_f64().is_some_and(|number| (0.0..=2.0).contains(&number)),
            "top_p" => value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)),
            "n" => value == 1,
            _ => false,
        };
        demand(is_right, || format!("its field {name} is not known, or has no such value"))?;
    }
    demand(body.get("model").is_some(), || "it names no model".to_owned())?;
    demand(body.get("store").is_some(), || "it does not say that nothing is to be kept".to_owned())?;
    demand(asked.messages.first().is_some_and(|(role, _)| role == "system"), || "no prompt comes first".to_owned())?;
    demand(asked.messages.last().is_some_and(|(role, _)| role == "user"), || "the person is not the last".to_owned())?;
    Ok(asked)
}

fn check_message(message: &Value) -> Result<(String, String), String> {
    let fields = message.as_object().ok_or("a message is no object")?;
    demand(fields.keys().eq(["content", "role"]), || format!("a message has {:?}", fields.keys()))?;
    let role = fields["role"].as_str().filter(|role| ["system", "user", "assistant"].contains(role));
    let content = fields["content"].as_str().filter(|content| !content.is_empty());
    let role = role.ok_or_else(|| format!("a message is by {}", fields["role"]))?;
    Ok((role.to_owned(), content.ok_or("a message has no words")?.to_owned()))
}

fn demand(is_right: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(complaint()) }
}

/// Whether somewhere are 32 digits of a UUID in a row, with hyphens between or without.
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
