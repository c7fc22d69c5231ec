//! A model behind an OpenAI-compatible address: what it is sent, and how its answers are heard.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use safespace::companion::{Call, Companion, Cut, MOST_ANSWER_CHARS, Model, Said, Speaker, Unavailable};
use safespace::config::{Config, Kind, ModelSettings};
use serde_json::{Value, json};

use crate::support::variables;

/// A server that says whatever a test wants, one answer a connection, and keeps what it was asked.
pub(crate) struct Provider {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// `answer` is given the number of the request, from 0, and the connection after it.
    pub(crate) fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, seen, answer) = (stream.unwrap(), seen.clone(), answer.clone());
                thread::spawn(move || {
                    let request = read_request(&stream);
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request);
                        seen.len() - 1
                    };
                    answer(number, &mut stream);
                });
            }
        });
        Provider { url, requests }
    }

    /// One that always says the same.
    pub(crate) fn saying(answer: impl Into<String>) -> Provider {
        let answer = answer.into();
        Provider::start(move |_, stream| _ = stream.write_all(answer.as_bytes()))
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn model(&self) -> Model {
        Model::new(settings(&[("OPENAI_BASE_URL", &self.url), ("COMPANION_MODEL", "m")]), "Listen.".to_owned()).unwrap()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let mut length = 0;
    loop {
        let from = request.len();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return request;
        }
        let line = request[from..].to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            return request + std::str::from_utf8(&body).unwrap();
        }
    }
}

pub(crate) fn settings(pairs: &[(&str, &str)]) -> ModelSettings {
    let mut all = vec![("HOME", "/h")];
    all.extend_from_slice(pairs);
    match Config::from_variables(&variables(&all)).unwrap().companion.kind {
        Kind::Model(settings) => settings,
        Kind::Script { .. } => panic!("a script"),
    }
}

pub(crate) fn call(limit: Duration) -> Call {
    Call { deadline: Instant::now() + limit, is_streamed: true, cut: Cut::default() }
}

pub(crate) fn said(turns: &[(Speaker, &str)]) -> Vec<Said> {
    turns.iter().map(|(speaker, text)| Said { speaker: *speaker, text: (*text).to_owned() }).collect()
}

/// Asks, and returns the pieces that were said.
pub(crate) fn ask(model: &Model, call: &Call) -> (Result<(), Unavailable>, Vec<String>) {
    let mut pieces = Vec::new();
    let result = model.answer(&said(&[(Speaker::Person, "help")]), call, &mut |piece| pieces.push(piece.to_owned()));
    (result, pieces)
}

/// An answer that ends with its connection, as nothing says how long it is.
pub(crate) fn response(media_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\n\r\n{body}")
}

pub(crate) fn whole(content: &str) -> String {
    let message = json!({"role": "assistant", "content": content});
    let body = json!({"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    response("application/json", &body.to_string())
}

pub(crate) fn delta(content: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]}))
}

pub(crate) const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn body_of(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// What a model with these settings is sent of a conversation.
fn sent(pairs: &[(&str, &str)], turns: &[(Speaker, &str)], is_streamed: bool) -> String {
    let provider = Provider::saying(whole("yes"));
    let url = format!("{}/", provider.url);
    let mut all = vec![("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "llama3.1:8b")];
    all.extend_from_slice(pairs);
    let model = Model::new(settings(&all), "Listen.".to_owned()).unwrap();
    let call = Call { is_streamed, ..call(Duration::from_secs(5)) };
    model.answer(&said(turns), &call, &mut |_| {}).unwrap();
    provider.requests().remove(0)
}

#[test]
fn a_model_is_sent_the_prompt_and_the_conversation_and_nothing_else() {
    use Speaker::{Companion, Person};
    let turns = [(Person, "hello"), (Companion, "hi"), (Person, "he \"hit\" me\n")];
    let request = sent(&[("OPENAI_API_KEY", "sk-1")], &turns, false);
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/chat/completions HTTP/1.1"));
    let mut fields: Vec<(String, &str)> =
        lines.map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value)).unwrap()).collect();
    fields.sort();
    fields.retain(|(name, value)| match name.as_str() {
        "host" => !value.starts_with("127.0.0.1:"),
        "content-length" => value.parse::<usize>().is_err(),
        _ => true,
    });
    let agent = concat!("safespace/", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("accept", "*/*"),
        ("authorization", "Bearer sk-1"),
        ("content-type", "application/json"),
        ("user-agent", agent),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value)));
    let messages = json!([
        {"role": "system", "content": "Listen."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "he \"hit\" me\n"},
    ]);
    let expected = json!({"model": "llama3.1:8b", "messages": messages, "stream": false, "store": false});
    assert_eq!(body_of(&request), expected);
}

#[test]
fn a_stream_is_asked_for_where_one_is_wanted_and_no_key_is_made_up() {
    let request = sent(&[], &[(Speaker::Person, "hello")], true);
    assert_eq!(body_of(&request)["stream"], true);
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
}

#[test]
fn google_is_not_sent_what_it_refuses() {
    let google = settings(&[("GOOGLE_API_KEY", "k")]);
    assert!(!google.sends_store);
    assert!(!settings(&[("OPENAI_BASE_URL", &google.base_url.to_string()), ("COMPANION_MODEL", "m")]).sends_store);
    let provider = Provider::saying(whole("yes"));
    let settings = ModelSettings { base_url: provider.url.parse().unwrap(), ..google };
    let (result, _) = ask(&Model::new(settings, "Listen.".to_owned()).unwrap(), &call(Duration::from_secs(5)));
    assert_eq!(result, Ok(()));
    let body = body_of(&provider.requests()[0]);
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["messages", "model", "stream"]);
    assert_eq!(body["model"], "gemini-2.5-flash-lite");
}

#[test]
fn the_last_turns_that_fit_are_sent_counted_in_characters() {
    use Speaker::{Companion, Person};
    let (long, half) = ("é".repeat(1001), "é".repeat(500));
    let contents = |turns: &[(Speaker, &str)]| {
        let body = body_of(&sent(&[("COMPANION_CONTEXT_CHARS", "1000")], turns, false));
        let messages = body["messages"].as_array().unwrap().iter().skip(1);
        messages.map(|message| message["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(contents(&[(Person, "a"), (Companion, "b"), (Person, &long)]), [long.as_str()]);
    // What fits begins with the companion's words, and the person begins.
    assert_eq!(contents(&[(Person, "a"), (Companion, &half), (Person, &half)]), [half.as_str()]);
    let turns = [(Person, "a"), (Companion, "b"), (Person, "c"), (Companion, &half), (Person, &half[..996])];
    assert_eq!(contents(&turns), ["c", &half, &half[..996]]);
    // A turn had no answer.
    assert_eq!(contents(&[(Person, "a"), (Person, "b"), (Companion, "c"), (Person, "d")]), ["a\n\nb", "c", "d"]);
}

#[test]
fn an_answer_is_heard_whole_or_piece_by_piece_as_the_server_gives_it() {
    let stream = |body: &str| response("Text/Event-Stream; charset=utf-8", body);
    let long = "é".repeat(MOST_ANSWER_CHARS + 7);
    let crlf =
        format!(": hello\n\nevent: x\nid: 1\n{}retry: 5\n{STOP}data: [DONE]\n\n", delta("a")).replace('\n', "\r\n");
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null}}]}\n\n";
    let none = "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n";
    let google = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let several = "data:{\"choices\":\ndata: [{\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (answer, expected) in [
        (whole(" a\n"), vec![" a\n"]),
        (stream(&format!("{role}{}{}{none}{STOP}data: [DONE]\n\n", delta(" "), delta("b"))), vec![" ", "b"]),
        (stream(&crlf), vec!["a"]),
        (stream(&format!("{several}data: [DONE]\n\n")), vec!["a"]),
        // Ends that not everybody marks alike.
        (stream(&format!("{}{STOP}", delta("a"))), vec!["a"]),
        (stream(&format!("{}data: [DONE]", delta("a"))), vec!["a"]),
        (stream(&format!("{google}{none}")), vec!["a"]),
        // More than there is room for.
        (whole(&long), vec![&long[..2 * MOST_ANSWER_CHARS]]),
        (
            stream(&format!("{}{}", delta(&long[..2 * MOST_ANSWER_CHARS]), delta("b"))),
            vec![&long[..2 * MOST_ANSWER_CHARS]],
        ),
    ] {
        let (result, pieces) = ask(&Provider::saying(answer.clone()).model(), &call(Duration::from_secs(5)));
        assert_eq!((result, pieces), (Ok(()), expected.iter().map(ToString::to_string).collect()), "{answer:.500}");
    }
}

#[test]
fn a_stream_may_come_byte_by_byte_and_in_chunks() {
    let provider = Provider::start(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for byte in format!("{}{}{STOP}data: [DONE]\n\n", delta("aé"), delta("b")).bytes() {
            stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).unwrap();
            stream.flush().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    assert_eq!(ask(&provider.model(), &call(Duration::from_secs(5))), (Ok(()), vec!["aé".to_owned(), "b".to_owned()]));
}

#[test]
fn a_piece_is_said_before_the_next_one_comes() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let provider = Provider::start(move |_, stream| {
        stream.write_all(response("text/event-stream", &delta("a")).as_bytes()).unwrap();
        receiver.lock().unwrap().recv().unwrap();
        stream.write_all(format!("{}{STOP}", delta("b")).as_bytes()).unwrap();
    });
    let mut heard = Vec::new();
    let conversation = said(&[(Speaker::Person, "help")]);
    let result = provider.model().answer(&conversation, &call(Duration::from_secs(5)), &mut |piece| {
        heard.push(piece.to_owned());
        let _ = sender.send(());
    });
    assert_eq!((result, heard), (Ok(()), vec!["a".to_owned(), "b".to_owned()]));
}
