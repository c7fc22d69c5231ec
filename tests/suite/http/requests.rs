//! Requests as raw bytes: the status of each response, whether the connection stays open, and that the pipelined request
//! after it is parsed correctly.

use serde_json::Value;

use crate::support::server::{TestServer, limits};

/// The state of the connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Closed,
}
use After::{Closed, Open};

/// Sends each request with a second one after it, first in the same write and then in a later one. Both must be parsed
/// correctly, or the connection must be closed.
#[track_caller]
fn check(cases: &[(&str, u16, After)]) {
    let server = TestServer::start(limits());
    for (request, status, after) in cases {
        for apart in [false, true] {
            let case = format!("{:?}, apart: {apart}", &request[..request.len().min(200)]);
            let mut raw = server.connect();
            let next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
            let is_head = request.starts_with("HEAD");
            let first = if apart { (*request).to_owned() } else { format!("{request}{next}") };
            raw.send(first.as_bytes());
            let answer = if is_head { raw.head_answer() } else { raw.answer() };
            assert_eq!(answer.status, *status, "{case}: {}", answer.text());
            let says_close = answer.header("Connection") == Some("close");
            assert_eq!(says_close, *after == Closed, "{case}: {answer:?}");
            if *after == Open {
                if apart {
                    raw.send(next.as_bytes());
                }
                let answer = raw.answer();
                assert_eq!((answer.status, &answer.json()["target"]), (200, &Value::from("/next")), "{case}");
            } else {
                raw.assert_closed();
            }
            let received = server.received();
            let expected = usize::from(*status < 400) + usize::from(*after == Open);
            assert_eq!(received.len(), expected, "{case}: {received:?}");
            assert!(!received.iter().any(|request| request.contains("smuggled")), "{case}: {received:?}");
        }
    }
}

#[test]
fn well_formed_requests_are_answered_and_the_connection_is_kept() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(8192 - "GET / HTTP/1.1".len()));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(99));
    let large_head = head_of(16 * 1024);
    let largest_body = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n{}", "b".repeat(65_536));
    check(&[
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost:x\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: \t x \t\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: example.org:8000\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200, Open),
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET /?a=b&c=%20 HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET /a|b\"<>^`{} HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET http://example.org/a HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET HTTPS://example.org?a HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET http://example.org HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nX:\r\nY: \r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: a\tb c\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: \u{fc}nic\u{f6}de\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~9aZ: y\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200, Open),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 5\r\n\r\nGET /",
            200,
            Open,
        ),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, Open),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: x\r\n\r\n", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 00005\r\n\r\nhello", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length:5\r\n\r\nhello", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r", 200, Open),
        ("DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n", 200, Open),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n",
            200,
            Open,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n",
            200,
            Open,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5 ; a\r\nhello\r\n0\r\n\r\n", 200, Open),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", 200, Open),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n",
            200,
            Open,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", 200, Open),
        (&long_target, 200, Open),
        (&many_fields, 200, Open),
        (&large_head, 200, Open),
        (&largest_body, 200, Open),
    ]);
}

/// A request whose head has exactly this many bytes.
fn head_of(bytes: usize) -> String {
    let empty = "GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n".len();
    format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(bytes - empty))
}

#[test]
fn the_connection_is_closed_when_the_client_requests_it() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", 200, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n", 200, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", 200, Closed),
        ("GET / HTTP/1.0\r\n\r\n", 200, Closed),
        ("GET / HTTP/1.0\r\nHost: x\r\n\r\n", 200, Closed),
        ("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 200, Closed),
        ("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", 200, Closed),
        ("HEAD / HTTP/1.0\r\n\r\n", 200, Closed),
    ]);
}

#[test]
fn malformed_request_lines_get_400() {
    check(&[
        ("GET /\r\n\r\n", 400, Closed),
        ("GET / \r\n\r\n", 400, Closed),
        ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /  HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        (" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400, Closed),
        ("GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1 x\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /\u{7f} HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET /#fragment HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET ftp://example.org/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET http://:80/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET http://user@example.org/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("G\u{e9}T / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\nHost: x\n\n", 400, Closed),
        ("GET / HTTP/1.1\rHost: x\r\r", 400, Closed),
        ("GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400, Closed),
        ("\u{16}\u{3}\u{1}\u{2}", 400, Closed),
        ("GET / HTTP/1.1\u{0}\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / FTP/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / http/1.1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/a.b\r\nHost: x\r\n\r\n", 400, Closed),
    ]);
}

#[test]
fn unsupported_versions_get_505() {
    check(&[
        ("GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505, Closed),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505, Closed),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, Closed),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, Closed),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Closed),
    ]);
}

#[test]
fn malformed_fields_are_refused() {
    check(&[
        ("GET / HTTP/1.1\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX\t: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX(: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX\u{1}: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX\u{e9}: y\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: \u{1}\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: \u{7f}\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n\tz\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: y\nY: z\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: y\rY: z\r\n\r\n", 400, Closed),
        ("GET / HTTP/1.1\r\nHost: x\r\n\n", 400, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\na", 417, Closed),
    ]);
}

#[test]
fn ambiguous_body_framing_is_refused() {
    let chunked = |chunks: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let long_extension = chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(300)));
    let long_trailer = chunked(&format!("0\r\nX: {}\r\n\r\n", "t".repeat(5_000)));
    let lengths = [
        "+5",
        "-5",
        "5x",
        "x5",
        "5, 5",
        "5,5",
        "5 5",
        "0x5",
        "5.0",
        "1e3",
        "1.8e19",
        "18446744073709551616",
        "99999999999999999999999",
        "",
        "\u{b2}",
    ];
    let mut cases: Vec<(String, u16, After)> = lengths
        .iter()
        .map(|length| (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhello"), 400, Closed))
        .collect();
    let heads = [
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("content-length: 5\r\nCONTENT-LENGTH: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 501),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: \"chunked\"", 501),
        ("Transfer-Encoding: chunked;q=1", 501),
        ("Transfer-Encoding: chunked,", 501),
        ("Transfer-Encoding:", 501),
    ];
    for (head, status) in heads {
        let request =
            format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        cases.push((request, status, Closed));
    }
    let old = "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    cases.push((old.to_owned(), 400, Closed));
    for chunks in [
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5;\u{1}\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: \u{1}\r\n\r\n",
        "0\n\n",
    ] {
        cases.push((chunked(chunks), 400, Closed));
    }
    cases.push((long_extension, 400, Closed));
    cases.push((long_trailer, 400, Closed));
    let cases: Vec<(&str, u16, After)> =
        cases.iter().map(|(request, status, after)| (request.as_str(), *status, *after)).collect();
    check(&cases);
}

#[test]
fn requests_above_the_size_limits_are_refused() {
    let line =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - "GET / HTTP/1.1".len()));
    let (line_too_long, line_far_too_long) = (line(8193), line(12_000));
    let no_line_end = "A".repeat(8200);
    let (head_too_large, head_far_too_large) = (head_of(16 * 1024 + 1), head_of(15_000_000));
    let too_many_fields = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    let body_too_large = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n{}", "b".repeat(65_537));
    let chunks = format!("8000\r\n{}\r\n", "c".repeat(0x8000));
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks_too_large = format!("{chunked}{chunks}{chunks}1\r\nc\r\n0\r\n\r\n");
    check(&[
        (&line_too_long, 414, Closed),
        (&line_far_too_long, 414, Closed),
        (&no_line_end, 414, Closed),
        (&head_too_large, 431, Closed),
        (&head_far_too_large, 431, Closed),
        (&too_many_fields, 431, Closed),
        (&body_too_large, 413, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n", 413, Closed),
        ("HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n", 413, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n", 413, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n", 413, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413, Closed),
        (&chunks_too_large, 413, Closed),
        ("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n", 413, Closed),
    ]);
}
