//! Requests whose bodies may be longer than those of others.

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::server::{MAX_LONG_BODY_BYTES, TestServer, limits};
use crate::support::timing::{PATIENCE, eventually};

/// The head of a request whose body has this length.
fn head(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn with_length(path: &str, length: usize) -> Vec<u8> {
    [head(path, length), vec![b'x'; length]].concat()
}

/// The same in chunks of 4,096 bytes.
fn in_chunks(path: &str, length: usize) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    let body = vec![b'x'; length];
    for chunk in body.chunks(4096) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[test]
fn a_body_may_have_as_many_bytes_as_the_application_says_of_its_request() {
    let server = TestServer::start(limits());
    let usual = limits().max_body_bytes;
    for request in [with_length, in_chunks] {
        for (path, length, status) in [
            ("/long-body", MAX_LONG_BODY_BYTES, 200),
            ("/long-body", MAX_LONG_BODY_BYTES + 1, 413),
            ("/long-body", 3, 200),
            ("/other", usual, 200),
            ("/other", usual + 1, 413),
            ("/long-body/", usual + 1, 413),
        ] {
            let answer = server.connect().ask(&request(path, length));
            assert_eq!(answer.status, status, "{path} {length}");
            if status == 200 {
                assert_eq!(answer.json()["body"].as_str().unwrap().len(), length, "{path}");
            }
        }
    }
    assert_eq!(server.state().answer_bytes, 0);
}

#[test]
fn incomplete_long_bodies_take_memory_and_without_any_they_are_503_while_shorter_ones_have_room() {
    let server = TestServer::start(Limits { max_answer_bytes: 5 * MAX_LONG_BODY_BYTES, ..limits() });
    let reserved = |bytes: usize| eventually(PATIENCE, || (server.state().answer_bytes == bytes).then_some(()));
    let begin = || {
        let mut raw = server.connect();
        raw.send(&head("/long-body", MAX_LONG_BODY_BYTES));
        raw.send(b"the first bytes");
        raw
    };
    // Clients without a peer are one client, which leaves as much to others as it has: the third does not fit.
    let mut half: Vec<Raw> = Vec::new();
    for count in 1..=2 {
        half.push(begin());
        reserved(count * MAX_LONG_BODY_BYTES);
    }
    for refused in [head("/long-body", MAX_LONG_BODY_BYTES), in_chunks("/long-body", 10)] {
        let answer = server.connect().ask(&refused);
        assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
    }
    // Shorter ones, whose responses need no memory either.
    assert_eq!(server.connect().ask(&with_length("/long-body", limits().max_body_bytes / 2)).status, 200);
    assert_eq!(server.connect().ask(&in_chunks("/other", limits().max_body_bytes / 2)).status, 200);
    // Memory is given back with a complete body, and with a connection that ends.
    half[0].send(&vec![b'x'; MAX_LONG_BODY_BYTES - "the first bytes".len()]);
    assert_eq!(half[0].answer().status, 200);
    reserved(MAX_LONG_BODY_BYTES);
    drop(half.remove(1));
    reserved(0);
    assert_eq!(server.connect().ask(&with_length("/long-body", MAX_LONG_BODY_BYTES)).status, 200);
}
