//! An HTTP client for well-formed requests, and the responses that it reads.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

pub(crate) struct Client {
    agent: ureq::Agent,
    address: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Client { agent, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path)
    }

    /// The same with this field `Accept`.
    #[track_caller]
    pub(crate) fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send_with("GET", path, &[("Accept", accept)])
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.send("POST", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path)
    }

    /// Sends a request without a body.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str) -> Answer {
        self.try_send(method, path).unwrap()
    }

    pub(crate) fn try_send(&self, method: &str, path: &str) -> Result<Answer, ureq::Error> {
        let request = self.request(method, path).body(()).unwrap();
        self.agent.run(request).map(Answer::read)
    }

    /// Sends a request without a body and with header fields.
    #[track_caller]
    pub(crate) fn send_with(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let add = |request: ureq::http::request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
        let request = fields.iter().fold(self.request(method, path), add);
        Answer::read(self.agent.run(request.body(()).unwrap()).unwrap())
    }

    /// Sends a request with a body.
    #[track_caller]
    pub(crate) fn post_body(&self, path: &str, media_type: &str, body: &[u8]) -> Answer {
        let request = self.request("POST", path).header("Content-Type", media_type).body(body).unwrap();
        Answer::read(self.agent.run(request).unwrap())
    }

    /// Sends an URL-encoded form and further header fields.
    #[track_caller]
    pub(crate) fn post_form(&self, path: &str, form: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self.request("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Answer::read(self.agent.run(request.body(body.as_bytes()).unwrap()).unwrap())
    }

    /// Sends a request with a body of JSON and further header fields.
    #[track_caller]
    pub(crate) fn post_json(&self, path: &str, body: &Value, fields: &[(&str, &str)]) -> Answer {
        self.send_json("POST", path, body, fields)
    }

    /// The same with any method.
    #[track_caller]
    pub(crate) fn send_json(&self, method: &str, path: &str, body: &Value, fields: &[(&str, &str)]) -> Answer {
        let mut request = self.request(method, path).header("Content-Type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Answer::read(self.agent.run(request.body(body.to_string().as_bytes()).unwrap()).unwrap())
    }

    /// The same with the method `PATCH`.
    #[track_caller]
    pub(crate) fn patch_json(&self, path: &str, body: &Value) -> Answer {
        self.send_json("PATCH", path, body, &[])
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }
}

impl Answer {
    fn read(response: ureq::http::Response<ureq::Body>) -> Answer {
        let (head, body) = response.into_parts();
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: body.into_with_config().limit(64 * 1024 * 1024).read_to_vec().unwrap(),
        }
    }

    /// Parses the head of a response and what follows it as the body.
    pub(crate) fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an HTTP answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The names and values of all fields but `Date` and `X-Request-Id`, which differ from one response to the next.
    pub(crate) fn constant_fields(&self) -> Vec<(String, String)> {
        let differs = |name: &str| ["date", "x-request-id"].contains(&name);
        self.headers.iter().filter(|(name, _)| !differs(name)).cloned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The time in the `Date` field.
    #[track_caller]
    pub(crate) fn date(&self) -> DateTime<Utc> {
        let date = self.header("Date").expect("a Date field");
        NaiveDateTime::parse_from_str(date, "%a, %d %b %Y %H:%M:%S GMT").unwrap().and_utc()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn assert_status(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts that this is a problem document (RFC 9457) with this status, and returns its detail.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("/docs/errors#{code}"));
        let retry_after = self.header("Retry-After").map(|seconds| seconds.parse().unwrap());
        assert_eq!(problem["retry_after"].as_u64(), retry_after, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        let fields = problem["errors"].as_array().map_or(0, Vec::len);
        assert_eq!(fields > 0, status == 422, "a 422, and nothing else, names fields: {problem}");
        problem["detail"].as_str().filter(|detail| detail.ends_with('.')).expect("a sentence").to_owned()
    }
}
