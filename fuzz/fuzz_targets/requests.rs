//! Fuzzes the parsers of request heads and bodies: pipelined requests, split into reads of any size.
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

use body::Body;
use head::{Head, HeadScanner, Length};
use limits::Limits;
use refusal::Refusal;

// The parsers are private to the server, so the target compiles their files into itself.
#[path = "../../src/http/body.rs"]
mod body;
#[path = "../../src/http/head.rs"]
mod head;
#[allow(dead_code)]
#[path = "../../src/http/limits.rs"]
mod limits;
#[allow(dead_code)]
#[path = "../../src/http/refusal.rs"]
mod refusal;

/// Limits so small that inputs exceed each of them.
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

/// Bytes at the start of the input: the sizes of the reads, used repeatedly.
const READ_SIZES: usize = 4;

/// Everything parsed from the bytes of one connection.
struct Parsed {
    requests: Vec<Request>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    head: Head,
    body: Vec<u8>,
}

/// Why parsing ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The last request asked to close the connection.
    Closed,
    Refused(Refusal),
    /// The input ended within a request: its head and the body so far, and the unread bytes.
    Incomplete(Option<Box<Request>>, Vec<u8>),
}

/// A connection that receives its bytes in several reads.
struct Connection<'a, Reads: Iterator<Item = &'a [u8]>> {
    reads: Reads,
    received: Vec<u8>,
    /// The unparsed end of `received`.
    input: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let Some((sizes, bytes)) = data.split_at_checked(READ_SIZES) else { return };
    let whole = parse_all(iter::once(bytes));
    compare(&whole, &parse_all(bytes.chunks(1)));
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    compare(
        &whole,
        &parse_all(iter::from_fn(|| {
            let size = usize::from(*sizes.next()?).clamp(1, rest.len().max(1));
            let (read, after) = rest.split_at_checked(size)?;
            rest = after;
            Some(read)
        })),
    );
});

/// Parses requests until one asks to close the connection, is refused, or is incomplete.
fn parse_all<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let mut connection = Connection { reads, received: Vec::new(), input: Vec::new() };
    let mut requests = Vec::new();
    loop {
        match connection.request() {
            Ok(request) => {
                let is_last = !request.head.keep_alive;
                requests.push(request);
                if is_last {
                    return Parsed { requests, end: End::Closed };
                }
            }
            Err(end) => return Parsed { requests, end },
        }
    }
}

impl<'a, Reads: Iterator<Item = &'a [u8]>> Connection<'a, Reads> {
    /// Parses the next request.
    fn request(&mut self) -> Result<Request, End> {
        let mut scanner = HeadScanner::default();
        let range = loop {
            match scanner.find(&self.input, &LIMITS).map_err(refused)? {
                Some(range) => break range,
                None if self.receive() => {}
                None => return Err(End::Incomplete(None, self.input.clone())),
            }
        };
        assert!(range.end <= self.input.len(), "The head ends after the input.");
        assert!([&b""[..], b"\r\n"].contains(&&self.input[..range.start]), "Bytes before the head were skipped.");
        let bytes = &self.input[range.clone()];
        let head = head::parse(bytes, &LIMITS).map_err(refused)?;
        check_request_line(bytes, &head);
        check_fields(bytes, &head);
        check_length(&head);
        self.input.drain(..range.end);

        let begin = self.parsed();
        let mut body = Body::new(head.length, LIMITS.max_body_bytes).map_err(refused)?;
        let result = loop {
            let result = body.take(&mut self.input);
            assert!(self.received.ends_with(&self.input), "The body did not leave the end of the input.");
            if result != Ok(false) || !self.receive() {
                break result;
            }
        };
        let body = body.into_bytes();
        let taken = &self.received[begin..self.parsed()];
        check_body(head.length, &body, taken, result == Ok(true));
        match result {
            Ok(true) => Ok(Request { head, body }),
            Ok(false) => Err(End::Incomplete(Some(Box::new(Request { head, body })), self.input.clone())),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    /// Receives the next read; `false` at the end of the input.
    fn receive(&mut self) -> bool {
        let Some(read) = self.reads.next() else { return false };
        self.received.extend_from_slice(read);
        self.input.extend_from_slice(read);
        true
    }

    /// Number of parsed bytes.
    fn parsed(&self) -> usize {
        let parsed = self.received.len().checked_sub(self.input.len());
        parsed.expect("More bytes were parsed than received.")
    }
}

fn refused(refusal: Refusal) -> End {
    let is_client_error = matches!(refusal.status(), 400 | 413 | 414 | 417 | 431 | 501 | 505);
    assert!(is_client_error, "A refusal of a client's bytes has another status than a client error: {refusal:?}.");
    End::Refused(refusal)
}

/// The sizes of the reads do not change what is parsed.
fn compare(whole: &Parsed, split: &Parsed) {
    assert_eq!(whole.requests, split.requests, "The requests depend on the sizes of the reads.");
    match (&whole.end, &split.end) {
        // With short reads, the limit of a line or head is exceeded before the parser sees a later error.
        (End::Refused(_), End::Refused(Refusal::RequestLineTooLong(_) | Refusal::HeadTooLarge(_))) => {}
        (whole, split) => assert_eq!(whole, split, "The end depends on the sizes of the reads."),
    }
}

/// The request line is a method, a target and a version (RFC 9112, section 3), and the head has the same.
fn check_request_line(bytes: &[u8], head: &Head) {
    assert!(bytes.len() <= LIMITS.max_head_bytes, "A head above its limit was accepted.");
    let line = lines(bytes).next().unwrap_or_default();
    assert!(line.len() <= LIMITS.max_request_line_bytes, "A request line above its limit was accepted.");
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { panic!("The request line does not have three parts.") };
    assert_eq!(method, head.method.as_bytes(), "The method is not that of the request line.");
    assert_eq!(
        version,
        if head.is_1_1 { b"HTTP/1.1" } else { b"HTTP/1.0" },
        "The version differs from the request line."
    );
    // The parser removes scheme and authority from the absolute form, and adds an empty path's slash.
    let path = head.target.strip_prefix('/').unwrap_or(&head.target);
    assert!(target.ends_with(path.as_bytes()), "The target is not that of the request line.");
    let is_asterisk = head.target == "*" && head.method == "OPTIONS";
    assert!(head.target.starts_with('/') || is_asterisk, "The target is not a path.");
    assert!(is_graphic(&head.method), "The method has a forbidden character.");
    assert!(is_graphic(&head.target), "The target has a forbidden character.");
}

/// Every line is one field, without characters that another parser reads as a delimiter (RFC 9112, section 5).
fn check_fields(bytes: &[u8], head: &Head) {
    assert!(head.fields.len() <= LIMITS.max_head_fields, "More fields than the limit were accepted.");
    // The request line, the empty line, and the empty remainder after its LF.
    assert_eq!(lines(bytes).count(), head.fields.len() + 3, "The number of fields is not that of the lines.");
    for (line, (name, value)) in lines(bytes).skip(1).zip(&head.fields) {
        assert!(is_graphic(name) && !name.contains(':'), "The name of a field has a forbidden character.");
        let is_text = value.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control());
        assert!(is_text, "The value of a field has a control character.");
        let rest = line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        let rest = rest.expect("The name of a field is not that of its line.").trim_ascii();
        // The authority of an absolute form replaces the value of Host (RFC 9112, section 3.2.2).
        let is_same = name.eq_ignore_ascii_case("Host") || String::from_utf8_lossy(rest) == value.as_str();
        assert!(is_same, "The value of a field is not that of its line.");
    }
    let hosts = values(head, "Host").len();
    assert!(hosts == 1 || (hosts == 0 && !head.is_1_1), "The host is ambiguous.");
}

/// The length of the body is unambiguous (RFC 9112, section 6.3).
fn check_length(head: &Head) {
    match (&values(head, "Content-Length")[..], &values(head, "Transfer-Encoding")[..], head.length) {
        ([], [], Length::Known(0)) => {}
        ([number], [], Length::Known(length)) => {
            assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "Content-Length is not digits.");
            assert_eq!(number.parse(), Ok(length), "The length is not that of Content-Length.");
        }
        ([], [coding], Length::Chunked) => {
            assert!(coding.eq_ignore_ascii_case("chunked"), "A transfer coding other than chunked was accepted.");
            assert!(head.is_1_1, "A chunked body was accepted from HTTP/1.0.");
        }
        found => panic!("The length of the body is ambiguous: {found:?}."),
    }
}

/// A body consists of received bytes, and its memory is proportional to them.
fn check_body(length: Length, body: &Vec<u8>, taken: &[u8], is_complete: bool) {
    assert!(body.len() <= LIMITS.max_body_bytes, "A body above its limit was accepted.");
    // A vector doubles its capacity, which is at least eight bytes.
    assert!(body.capacity() <= (2 * body.len()).max(8), "Memory was allocated for bytes that were not received.");
    match length {
        Length::Known(length) => {
            assert_eq!(body, taken, "The body is not the bytes after the head.");
            assert!(body.len() as u64 <= length, "The body is longer than Content-Length.");
            assert_eq!(
                body.len() as u64 == length,
                is_complete,
                "The body is complete at another length than Content-Length."
            );
        }
        Length::Chunked => {
            let framing = if is_complete { b"0\r\n\r\n".len() } else { 0 };
            assert!(body.len() + framing <= taken.len(), "The body is longer than its chunks.");
            assert!(!is_complete || taken.ends_with(b"\r\n"), "The chunked body does not end with CRLF.");
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

/// The lines of a head. An LF without a CR ends a line too; a CR without an LF is part of its line.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}
