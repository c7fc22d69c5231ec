//! How requests reach the application: decoded, in order, in any segmentation, after `Expect: 100-continue`.

use serde_json::json;

use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::server::{TestServer, limits};

#[test]
fn the_application_receives_the_decoded_request() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let received =
        raw.ask(b"POST /a?b HTTP/1.1\r\nHost:  x \r\nX-Y: \xff z\t\r\nContent-Length: 5\r\n\r\nhello").json();
    assert_eq!(
        (&received["method"], &received["target"], &received["body"]),
        (&"POST".into(), &"/a?b".into(), &"hello".into())
    );
    assert_eq!(received["fields"], json!([["Host", "x"], ["X-Y", "\u{fffd} z"], ["Content-Length", "5"]]));

    // The application gets a decoded body with its length, without transfer coding and trailers.
    let chunks =
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n";
    let received = raw.ask(chunks).json();
    assert_eq!((&received["method"], &received["body"]), (&"PUT".into(), &"hello".into()));
    assert_eq!(received["fields"], json!([["Host", "x"], ["Content-Length", "5"]]));

    // The host of an absolute target replaces the Host field (RFC 9112, section 3.2.2).
    let received = raw.ask(b"GET http://a.example:80/b?c HTTP/1.1\r\nHost: b.example\r\n\r\n").json();
    assert_eq!((&received["target"], &received["fields"]), (&"/b?c".into(), &json!([["Host", "a.example:80"]])));
    assert_eq!(raw.ask(b"GET http://a.example?c HTTP/1.1\r\nHost: b\r\n\r\n").json()["target"], "/?c");
}

#[test]
fn requests_sent_byte_by_byte_are_parsed() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let requests = "POST /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;e\r\nhello\r\n0\r\nT: t\r\n\r\n\
                    POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\nGET /three HTTP/1.1\r\nHost: x\r\n\r\n";
    for byte in requests.bytes() {
        raw.send(&[byte]);
    }
    for (target, body) in [("/one", "hello"), ("/two", "abc"), ("/three", "")] {
        let received = raw.answer().json();
        assert_eq!((&received["target"], &received["body"]), (&target.into(), &body.into()), "{target}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let requests: String = (0..200)
        .map(|number| match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nGET / "),
            _ => format!("POST /{number} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nP\r\n0\r\n\r\n"),
        })
        .collect();
    raw.send(requests.as_bytes());
    for number in 0..200 {
        assert_eq!(raw.answer().json()["target"], format!("/{number}"));
    }
    // A refused request is the last; pipelined data after it is ignored.
    raw.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.answer().json()["target"], "/a");
    assert_eq!(raw.answer().status, 400);
    raw.assert_closed();
    assert!(!server.received().contains(&"GET /c".to_owned()));
}

#[test]
fn a_truncated_request_gets_400_and_does_not_reach_the_application() {
    let server = TestServer::start(limits());
    for request in [
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut raw = server.connect();
        raw.send(request.as_bytes());
        raw.end();
        assert_eq!(raw.answer().status, 400, "{request:?}");
        raw.assert_closed();
        assert!(server.received().is_empty(), "{request:?}");
    }
    // No bytes, or an empty line after a body, is no request. A complete request is answered on a half-closed connection.
    for (request, status) in [("", None), ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\r\n", Some(200))]
    {
        let mut raw = server.connect();
        raw.send(request.as_bytes());
        raw.end();
        if let Some(status) = status {
            assert_eq!(raw.answer().status, status, "{request:?}");
        }
        raw.assert_closed();
    }
    let mut raw = server.connect();
    raw.send(GET);
    raw.end();
    assert_eq!(raw.answer().status, 200);
    raw.assert_closed();
}

#[test]
fn expect_100_continue_gets_100_or_the_final_status() {
    let server = TestServer::start(limits());
    let head = |path: &str, length: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n{length}\r\n\r\n")
    };
    let mut raw = server.connect();
    for (length, body) in [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")] {
        let interim = raw.ask(head("/", length).as_bytes());
        assert_eq!((interim.status, interim.header("Content-Length"), interim.header("Date")), (100, None, None));
        assert_eq!(raw.ask(body.as_bytes()).json()["body"], "hello");
    }
    // A client that sends the body at once gets no 100.
    assert_eq!(raw.ask(format!("{}hello", head("/", "Content-Length: 5")).as_bytes()).json()["body"], "hello");
    // HTTP/1.0 has no interim responses.
    let old = "POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    raw.send(old.as_bytes());
    assert_eq!(raw.ask(b"hello").json()["body"], "hello");

    let expect_final = |request: String, status| {
        let mut raw: Raw = server.connect();
        let answer = raw.ask(request.as_bytes());
        assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")), "{request}");
        raw.assert_closed();
    };
    expect_final(head("/unwanted", "Content-Length: 5"), 404);
    expect_final(head("/unwanted", "Transfer-Encoding: chunked"), 404);
    expect_final(head("/panic", "Content-Length: 5"), 500);
    expect_final(head("/", "Content-Length: 65537"), 413);
    expect_final(head("/", "Transfer-Encoding: gzip"), 501);
}
