//! Fuzzes what reads a client's bytes: heads and bodies, request after request, however the bytes are cut.
//!
//! From the root of the project, with a nightly toolchain:
//!
//! ```sh
//! cargo install cargo-fuzz --locked
//! cargo +nightly fuzz run requests -- -dict=fuzz/http.dict -max_len=8192 -max_total_time=600
//! ```

#![no_main]

use std::iter;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use safespace::http::body::Body;
use safespace::http::head::{self, Scanner};
use safespace::http::{Head, Length, Limits, Refusal};

/// Bounds so small that the fuzzer goes beyond each of them.
const LIMITS: Limits = Limits {
    workers: 1,
    max_request_line_bytes: 256,
    max_head_bytes: 1024,
    max_head_fields: 16,
    max_body_bytes: 2048,
    max_connections: 1,
    max_queued: 1,
    head_timeout: Duration::ZERO,
    body_timeout: Duration::ZERO,
    idle_timeout: Duration::ZERO,
    write_timeout: Duration::ZERO,
    request_timeout: Duration::ZERO,
};

/// Bytes at the front of the fuzzer's that say how the others are cut.
const CUTS: usize = 4;

/// All that came of a client's bytes.
struct Conversation {
    requests: Vec<Request>,
    ending: Ending,
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    head: Head,
    body: Vec<u8>,
}

/// Why there is no further request.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// The client wanted no other answer.
    Closed,
    Refused(Refusal),
    /// More would have to come; this is what there is of the next request, and what nobody has taken.
    Incomplete(Option<Box<Request>>, Vec<u8>),
}

/// What a client has sent so far, in one piece after another.
struct Client<'a, Pieces: Iterator<Item = &'a [u8]>> {
    pieces: Pieces,
    given: Vec<u8>,
    /// The end of what was given, which is not yet used.
    input: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let Some((cuts, bytes)) = data.split_at_checked(CUTS) else { return };
    let whole = converse(iter::once(bytes));
    compare(&whole, &converse(bytes.chunks(1)));
    let mut rest = bytes;
    let mut sizes = cuts.iter().cycle();
    compare(
        &whole,
        &converse(iter::from_fn(|| {
            let size = usize::from(*sizes.next()?).clamp(1, rest.len().max(1));
            let (piece, behind) = rest.split_at_checked(size)?;
            rest = behind;
            Some(piece)
        })),
    );
});

/// Does with the bytes what a connection does.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Conversation {
    let mut client = Client { pieces, given: Vec::new(), input: Vec::new() };
    let mut requests = Vec::new();
    loop {
        match client.request() {
            Ok(request) => {
                let is_last = !request.head.keep_alive;
                requests.push(request);
                if is_last {
                    return Conversation { requests, ending: Ending::Closed };
                }
            }
            Err(ending) => return Conversation { requests, ending },
        }
    }
}

impl<'a, Pieces: Iterator<Item = &'a [u8]>> Client<'a, Pieces> {
    fn request(&mut self) -> Result<Request, Ending> {
        let mut scanner = Scanner::default();
        let range = loop {
            match scanner.find(&self.input, &LIMITS).map_err(refused)? {
                Some(range) => break range,
                None if self.receive() => {}
                None => return Err(Ending::Incomplete(None, self.input.clone())),
            }
        };
        assert!(range.end <= self.input.len(), "The head ends behind what came.");
        assert!([&b""[..], b"\r\n"].contains(&&self.input[..range.start]), "Something before the head was skipped.");
        let bytes = &self.input[range.clone()];
        let head = head::parse(bytes, &LIMITS).map_err(refused)?;
        check_request_line(bytes, &head);
        check_fields(bytes, &head);
        check_length(&head);
        self.input.drain(..range.end);

        let begin = self.used();
        let mut body = Body::new(head.length, LIMITS.max_body_bytes).map_err(refused)?;
        let result = loop {
            let result = body.take(&mut self.input);
            assert!(self.given.ends_with(&self.input), "What the body left is not the end of what came.");
            if result != Ok(false) || !self.receive() {
                break result;
            }
        };
        let body = body.into_bytes();
        let taken = &self.given[begin..self.used()];
        check_body(head.length, &body, taken, result == Ok(true));
        match result {
            Ok(true) => Ok(Request { head, body }),
            Ok(false) => Err(Ending::Incomplete(Some(Box::new(Request { head, body })), self.input.clone())),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    /// Gets the next piece; `false` if that was all.
    fn receive(&mut self) -> bool {
        let Some(piece) = self.pieces.next() else { return false };
        self.given.extend_from_slice(piece);
        self.input.extend_from_slice(piece);
        true
    }

    /// Bytes that were used.
    fn used(&self) -> usize {
        let used = self.given.len().checked_sub(self.input.len());
        used.expect("More bytes were used than came.")
    }
}

fn refused(refusal: Refusal) -> Ending {
    let is_the_clients_fault = matches!(refusal.status(), 400 | 413 | 414 | 417 | 431 | 501 | 505);
    assert!(is_the_clients_fault, "A client's bytes were refused as if they were not at fault: {refusal:?}.");
    Ending::Refused(refusal)
}

/// The same bytes say the same, in whatever pieces they come.
fn compare(whole: &Conversation, cut: &Conversation) {
    assert_eq!(whole.requests, cut.requests, "The requests depend on how the bytes are cut.");
    match (&whole.ending, &cut.ending) {
        // Piece by piece, a line without end is noticed before what is wrong further on.
        (Ending::Refused(_), Ending::Refused(Refusal::RequestLineTooLong(_) | Refusal::HeadTooLarge(_))) => {}
        (whole, cut) => assert_eq!(whole, cut, "The end depends on how the bytes are cut."),
    }
}

/// The request line is a method, a target and a version, which the head repeats.
fn check_request_line(bytes: &[u8], head: &Head) {
    assert!(bytes.len() <= LIMITS.max_head_bytes, "A head beyond its bound was accepted.");
    let line = lines(bytes).next().unwrap_or_default();
    assert!(line.len() <= LIMITS.max_request_line_bytes, "A request line beyond its bound was accepted.");
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { panic!("The request line does not have three parts.") };
    assert_eq!(method, head.method.as_bytes(), "The method is not what came.");
    assert_eq!(version, if head.is_1_1 { b"HTTP/1.1" } else { b"HTTP/1.0" }, "The version is not what came.");
    // A URL has its scheme and its host cut off, and gets a slash if that was all.
    let path = head.target.strip_prefix('/').unwrap_or(&head.target);
    assert!(target.ends_with(path.as_bytes()), "The target is not what came.");
    let is_asterisk = head.target == "*" && head.method == "OPTIONS";
    assert!(head.target.starts_with('/') || is_asterisk, "The target is not a path.");
    assert!(is_graphic(&head.method), "The method has a wrong character.");
    assert!(is_graphic(&head.target), "The target has a wrong character.");
}

/// Every line is one field, which has no character that would be more than that elsewhere.
fn check_fields(bytes: &[u8], head: &Head) {
    assert!(head.fields.len() <= LIMITS.max_head_fields, "More fields than may be were accepted.");
    // Behind the last of them are the empty line and what is behind its end.
    assert_eq!(lines(bytes).count(), head.fields.len() + 3, "There are not as many fields as lines.");
    for (line, (name, value)) in lines(bytes).skip(1).zip(&head.fields) {
        assert!(is_graphic(name) && !name.contains(':'), "The name of a field has a wrong character.");
        let is_text = value.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control());
        assert!(is_text, "The value of a field has a control character.");
        let rest = line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        let rest = rest.expect("The name of a field is not what came.").trim_ascii();
        // The host of a URL replaces that of the field.
        let is_same = name.eq_ignore_ascii_case("Host") || String::from_utf8_lossy(rest) == value.as_str();
        assert!(is_same, "The value of a field is not what came.");
    }
    let hosts = values(head, "Host").len();
    assert!(hosts == 1 || (hosts == 0 && !head.is_1_1), "It is not certain which host is meant.");
}

/// There is one way to find the end of the body.
fn check_length(head: &Head) {
    match (&values(head, "Content-Length")[..], &values(head, "Transfer-Encoding")[..], head.length) {
        ([], [], Length::Known(0)) => {}
        ([number], [], Length::Known(length)) => {
            assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "Content-Length is not digits.");
            assert_eq!(number.parse(), Ok(length), "The length is not that of Content-Length.");
        }
        ([], [coding], Length::Chunked) => {
            assert!(coding.eq_ignore_ascii_case("chunked"), "Another coding than chunked was accepted.");
            assert!(head.is_1_1, "HTTP/1.0 had chunks.");
        }
        found => panic!("It is not certain where the body ends: {found:?}."),
    }
}

/// A body is of what came, and takes no more room than that.
fn check_body(length: Length, body: &Vec<u8>, taken: &[u8], is_complete: bool) {
    assert!(body.len() <= LIMITS.max_body_bytes, "A body beyond its bound was received.");
    // A vector grows to twice its size, and not below eight bytes.
    assert!(body.capacity() <= (2 * body.len()).max(8), "Room was made for what did not come.");
    match length {
        Length::Known(length) => {
            assert_eq!(body, taken, "The body is not what came behind the head.");
            assert!(body.len() as u64 <= length, "The body has more bytes than it says.");
            assert_eq!(body.len() as u64 == length, is_complete, "The body did not end where it says.");
        }
        Length::Chunked => {
            let framing = if is_complete { b"0\r\n\r\n".len() } else { 0 };
            assert!(body.len() + framing <= taken.len(), "The body has more bytes than came.");
            assert!(!is_complete || taken.ends_with(b"\r\n"), "The body did not end with a line.");
        }
    }
}

fn values<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    let fields = head.fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name));
    fields.map(|field| field.1.as_str()).collect()
}

fn is_graphic(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The lines of a head; an LF without a CR would be one more, and a CR without an LF is a part of its line.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}
