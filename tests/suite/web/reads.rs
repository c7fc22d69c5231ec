//! What one network can have of the reads of conversations without JavaScript.

use std::time::Duration;

use crate::support::app::TestApp;
use crate::support::raw::Raw;
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table};

#[test]
fn the_reads_of_one_network_are_bounded_and_another_one_reads() {
    let acquire = ("DB_ACQUIRE_TIMEOUT_MS", "20000");
    let of_peers = [("RATE_LIMIT", "on"), ("RATE_LIMIT_BY_ADDRESS", "on"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(&[&of_peers[..], &[acquire]].concat());
    let session = app.create_session();
    let read = |client: &str| {
        let body = format!("session_id={session}");
        let mut raw = Raw::connect(app.client.address());
        let head = "POST /page/read HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        raw.send(format!("{head}X-Forwarded-For: {client}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        raw
    };
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let mut waiting = Vec::new();
    let mut refused = eventually(PATIENCE, || {
        let raw = read("198.51.100.7");
        raw.stream.set_read_timeout(Some(Duration::from_millis(if waiting.len() < 16 { 1 } else { 300 }))).unwrap();
        if raw.stream.peek(&mut [0]).is_ok() {
            return Some(raw);
        }
        waiting.push(raw);
        None
    });
    assert_eq!(waiting.len(), 16);
    let answer = refused.answer();
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains(&session), "the page still has the session");
    waiting.push(read("203.0.113.9"));
    lock.rollback().unwrap();
    for raw in &mut waiting {
        raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(raw.answer().status, 200);
    }
    assert_eq!(read("198.51.100.7").answer().status, 200, "the reads of the network have ended");
}
