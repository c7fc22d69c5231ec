//! The server's bounds in time and number, and how it stops.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use safespace::http::Limits;

use crate::support::eventually;
use crate::support::raw::Raw;
use crate::support::server::{TestServer, limits};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

/// Short enough to wait for, long enough for everything else to happen within.
const SHORT: Duration = Duration::from_millis(300);

/// How long something took.
fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (action(), started.elapsed())
}

/// Asserts that a deadline was kept: not early, and not by far too late.
#[track_caller]
fn assert_about(took: Duration, deadline: Duration) {
    assert!(took >= deadline.mul_f32(0.9), "{took:?} instead of {deadline:?}");
    assert!(took < deadline + Duration::from_secs(3), "{took:?} instead of {deadline:?}");
}

/// Requests for `/wait` that have reached the application.
#[track_caller]
fn wait_until_busy(server: &TestServer, count: usize) {
    let mut seen = 0;
    eventually(Duration::from_secs(5), || {
        seen += server.seen().iter().filter(|request| *request == "GET /wait").count();
        (seen == count).then_some(())
    });
}

#[test]
fn a_slow_head_is_408() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    for beginning in ["G", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
        let mut raw = server.connect();
        raw.send(beginning.as_bytes());
        let (answer, took) = timed(|| raw.answer());
        assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
        assert_about(took, SHORT);
        raw.assert_closed();
    }
    // Bytes that trickle in gain no time.
    let mut raw = server.connect();
    let started = Instant::now();
    let mut trickle = raw.stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        while trickle.write_all(b"X").is_ok() && started.elapsed() < 4 * SHORT {
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(raw.answer().status, 408);
    assert!(started.elapsed() < 3 * SHORT, "{:?}", started.elapsed());
    sender.join().unwrap();
}

#[test]
fn the_time_for_a_head_begins_with_its_first_byte() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    for _ in 0..2 {
        thread::sleep(SHORT * 2);
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn a_slow_body_is_408() {
    let server = TestServer::start(Limits { body_timeout: SHORT, ..limits() });
    for (length, beginning) in [("Content-Length: 5", "hell"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")] {
        let mut raw = server.connect();
        raw.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n{beginning}").as_bytes());
        let (answer, took) = timed(|| raw.answer());
        assert_eq!(answer.status, 408);
        assert_about(took, SHORT);
        raw.assert_closed();
    }
    assert!(server.seen().is_empty());
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = TestServer::start(Limits { idle_timeout: SHORT, ..limits() });
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.ask(GET).status, 200);
    let ((), took) = timed(|| {
        fresh.assert_closed();
        used.assert_closed();
    });
    assert_about(took, SHORT);
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let server = TestServer::start(Limits { write_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    // It is told apart from a client that takes something now and then.
    thread::sleep(SHORT * 4);
    let received = raw.count_rest();
    assert!(received < 8 * 1024 * 1024, "{received} bytes");
}

#[test]
fn a_client_that_goes_on_sending_but_takes_nothing_is_cut_too() {
    let server = TestServer::start(Limits { write_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let started = Instant::now();
    while started.elapsed() < SHORT * 6 {
        raw.send(b"G");
        thread::sleep(Duration::from_millis(20));
    }
    let received = raw.count_rest();
    assert!(received < 8 * 1024 * 1024, "{received} bytes");
}

#[test]
fn a_slow_reader_is_served_while_it_takes_something() {
    let server = TestServer::start(Limits { write_timeout: Duration::from_secs(1), ..limits() });
    let mut raw = server.connect();
    raw.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let started = Instant::now();
    // So little at a time that the operating system does not tell the server of it within the time there is; and not less,
    // since on loopback a receiver makes room known by 64 KiB.
    while started.elapsed() < Duration::from_secs(4) {
        let mut little = [0; 8192];
        assert!(raw.stream.read(&mut little).unwrap() > 0);
        thread::sleep(Duration::from_millis(50));
    }
    let mut received = 0;
    while received < 7 * 1024 * 1024 {
        let read = raw.read();
        assert!(read > 0, "cut after {received} bytes");
        received += read;
    }
}

#[test]
fn an_answer_just_in_time_is_the_only_one() {
    let server = TestServer::start(Limits { workers: 8, request_timeout: Duration::from_millis(100), ..limits() });
    let address = server.address;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut raw = Raw::connect(address);
                    let answer = raw.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                    assert!(matches!(answer.status, 200 | 504), "{}", answer.status);
                    assert_eq!(raw.read(), 0, "{}: something follows the answer", answer.status);
                }
            });
        }
    });
}

#[test]
fn every_worker_can_be_in_the_application_at_once() {
    let server = TestServer::start(Limits { workers: 16, ..limits() });
    let mut raws: Vec<Raw> = (0..16).map(|_| server.connect()).collect();
    raws.iter_mut().for_each(|raw| raw.send(WAIT));
    wait_until_busy(&server, 16);
    server.gate().open();
    raws.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn looking_at_a_head_counts_as_answering() {
    let server = TestServer::start(Limits { workers: 1, request_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(b"POST /wait HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(server.connect().ask(GET).status, 200, "another worker takes over");
    assert_eq!(raw.answer().status, 504);
    server.gate().open();
}

#[test]
fn the_date_of_a_refusal_for_want_of_room_is_todays() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 1, ..limits() });
    server.connect().send(WAIT);
    wait_until_busy(&server, 1);
    let mut queued = server.connect();
    queued.send(GET);
    thread::sleep(Duration::from_millis(2100));
    let answer = server.connect().ask(GET);
    assert_eq!(answer.status, 503);
    let date = chrono::NaiveDateTime::parse_from_str(answer.header("Date").unwrap(), "%a, %d %b %Y %H:%M:%S GMT");
    assert!((chrono::Utc::now() - date.unwrap().and_utc()).num_milliseconds() < 2000);
    server.gate().open();
}

#[test]
fn an_empty_line_behind_a_body_is_not_the_beginning_of_a_slow_head() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\r\n";
    assert_eq!(raw.ask(post).status, 200);
    thread::sleep(SHORT * 2);
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn many_refused_clients_that_linger_do_not_harm_others() {
    let server = TestServer::start(limits());
    let mut kept: Vec<Raw> = (0..4).map(|_| server.connect()).collect();
    // They are told and do not close, so that the oldest of those who linger have to give way.
    let mut refused: Vec<Raw> = Vec::new();
    for _ in 0..300 {
        let mut raw = server.connect();
        raw.send(b"X\n\n");
        refused.push(raw);
        for raw in &mut kept {
            assert_eq!(raw.ask(GET).status, 200);
        }
    }
    refused.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 400));
    // What is sent on a closed connection brings a reset, so that a later write fails.
    refused.iter_mut().for_each(|raw| raw.send(b"x"));
    thread::sleep(Duration::from_millis(200));
    let still_open = refused.iter_mut().filter_map(|raw| raw.stream.write_all(b"x").ok()).count();
    assert!(still_open <= safespace::http::MOST_LINGERING, "{still_open} linger");
}

#[test]
fn an_answer_that_takes_too_long_is_504_and_another_worker_takes_over() {
    let server = TestServer::start(Limits { workers: 2, request_timeout: SHORT, head_timeout: 3 * SHORT, ..limits() });
    let mut stuck: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    stuck.iter_mut().for_each(|raw| raw.send(WAIT));
    // No worker is left until these are given up.
    let (answer, took) = timed(|| server.connect().ask(GET));
    assert_eq!(answer.status, 200);
    assert_about(took, SHORT);
    for raw in &mut stuck {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (504, Some("close")));
        raw.assert_closed();
    }
    // As many again can be stuck, and then no more workers come: what waits gets its 503 in the end.
    let mut stuck: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    stuck.iter_mut().for_each(|raw| raw.send(WAIT));
    stuck.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 504));
    let mut waiting = server.connect();
    assert_eq!(waiting.ask(GET).status, 503);
    // The late answers are for nobody, and their workers go on.
    server.gate().open();
    eventually(Duration::from_secs(5), || (server.connect().ask(GET).status == 200).then_some(()));
    for _ in 0..20 {
        assert_eq!(server.connect().ask(GET).status, 200);
    }
}

#[test]
fn a_stream_that_makes_nothing_for_too_long_is_cut() {
    let server = TestServer::start(Limits { workers: 1, request_timeout: SHORT, ..limits() });
    let pieces = server.stream();
    let mut raw = server.connect();
    pieces.send(b"one".to_vec()).unwrap();
    raw.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.head_answer();
    assert_eq!(raw.chunk(), b"one");
    raw.assert_closed();
    assert_eq!(server.connect().ask(GET).status, 200, "another worker has taken over");
    drop(pieces);
}

#[test]
fn what_waits_for_a_worker_for_too_long_is_503() {
    let server = TestServer::start(Limits { workers: 1, head_timeout: SHORT, ..limits() });
    server.connect().send(WAIT);
    wait_until_busy(&server, 1);
    let mut waiting = server.connect();
    waiting.send(GET);
    let (answer, took) = timed(|| waiting.answer());
    assert_eq!(answer.status, 503);
    assert_about(took, SHORT);
    waiting.assert_closed();
    server.gate().open();
    eventually(Duration::from_secs(5), || (server.connect().ask(GET).status == 200).then_some(()));
    assert_eq!(server.seen().iter().filter(|request| *request == "GET /").count(), 1, "it was not answered twice");
}

#[test]
fn past_the_queue_requests_are_refused_at_once() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 3, ..limits() });
    let mut busy = server.connect();
    busy.send(WAIT);
    wait_until_busy(&server, 1);
    let mut queued: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    for raw in &mut queued {
        raw.send(GET);
        // In their order: one that comes later must not be taken for one that came before.
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..5 {
        let mut refused = server.connect();
        let (answer, took) = timed(|| refused.ask(GET));
        assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
        assert!(took < Duration::from_millis(100), "{took:?}");
        refused.assert_closed();
    }
    server.gate().open();
    assert_eq!(busy.answer().status, 200);
    queued.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn past_the_connections_the_longest_idle_gives_way() {
    let server = TestServer::start(Limits { max_connections: 3, ..limits() });
    let mut raws: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    // The first is used, so that the second has been idle for longest.
    assert_eq!(raws[0].ask(GET).status, 200);
    let mut fourth = server.connect();
    assert_eq!(fourth.ask(GET).status, 200);
    raws[1].assert_closed();
    assert_eq!(raws[0].ask(GET).status, 200);
    assert_eq!(raws[2].ask(GET).status, 200);
}

#[test]
fn past_the_connections_a_new_one_is_refused_if_none_is_idle() {
    let server = TestServer::start(Limits { max_connections: 2, ..limits() });
    let mut busy: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    busy.iter_mut().for_each(|raw| raw.send(WAIT));
    wait_until_busy(&server, 2);
    let mut refused = server.connect();
    assert_eq!(refused.ask(GET).status, 503);
    refused.assert_closed();
    server.gate().open();
    for raw in &mut busy {
        assert_eq!(raw.answer().status, 200);
    }
    // A worker may have sent its answer and not yet given the connection back.
    eventually(Duration::from_secs(5), || (server.connect().ask(GET).status == 200).then_some(()));
}

#[test]
fn a_refused_client_that_goes_on_sending_still_gets_its_answer() {
    let server = TestServer::start(limits());
    for _ in 0..20 {
        let mut raw = server.connect();
        raw.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
        for _ in 0..20 {
            raw.send(&[b'x'; 10_000]);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(raw.answer().status, 413);
        assert!(!raw.was_refused, "the connection was reset, which can take the answer with it");
        raw.assert_closed();
    }
}

#[test]
fn stopping_answers_what_has_begun_and_closes_the_rest() {
    let mut server = TestServer::start(limits());
    let mut idle = server.connect();
    assert_eq!(idle.ask(GET).status, 200);
    let mut fresh = server.connect();
    let mut working = server.connect();
    working.send(WAIT);
    wait_until_busy(&server, 1);
    let mut begun = server.connect();
    begun.send(&GET[..10]);
    let mut half = server.connect();
    half.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    let (address, gate) = (server.address, server.gate());
    thread::scope(|scope| {
        let stopped = scope.spawn(|| timed(|| server.stop(Duration::from_secs(10))));
        idle.assert_closed();
        fresh.assert_closed();
        eventually(Duration::from_secs(5), || std::net::TcpStream::connect(address).is_err().then_some(()));
        begun.send(&GET[10..]);
        half.send(b"lo");
        for raw in [&mut begun, &mut half] {
            let answer = raw.answer();
            assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
            raw.assert_closed();
        }
        assert!(!stopped.is_finished());
        gate.open();
        assert_eq!(working.answer().status, 200);
        let (answered, took) = stopped.join().unwrap();
        assert!(answered && took < Duration::from_secs(10));
    });
}

#[test]
fn stopping_ends_with_its_grace() {
    let mut server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(WAIT);
    wait_until_busy(&server, 1);
    let (answered, took) = timed(|| server.stop(SHORT));
    assert!(!answered);
    assert_about(took, SHORT);
    raw.assert_closed();
    server.gate().open();
}

#[test]
fn stopping_under_full_load_is_quick_and_cuts_no_answer() {
    let mut server = TestServer::start(limits());
    let address = server.address;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|_| {
                let mut raw = Raw::connect(address);
                scope.spawn(move || {
                    loop {
                        raw.send(GET);
                        // A request that the server read is answered in full; one that it did not is not answered at all.
                        if raw.read() == 0 {
                            return;
                        }
                        let answer = raw.answer();
                        assert_eq!(answer.status, 200);
                        if answer.header("Connection") == Some("close") {
                            return raw.assert_closed();
                        }
                    }
                })
            })
            .collect();
        eventually(Duration::from_secs(5), || (server.seen().len() > 100).then_some(()));
        let (answered, took) = timed(|| server.stop(Duration::from_secs(10)));
        assert!(answered);
        assert!(took < Duration::from_secs(2), "{took:?}");
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}
