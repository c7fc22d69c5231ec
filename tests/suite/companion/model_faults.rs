//! A model's server that fails: what is told, what is tried again, what ends at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use safespace::companion::{MOST_BODY_BYTES, MOST_LINE_BYTES, MOST_STREAM_BYTES, Model, Unavailable};
use safespace::config::Authorities;

use super::model::{Provider, STOP, ask, call, delta, response, settings, whole};

const LONG: Duration = Duration::from_secs(10);

/// A connection on which nothing more comes, until the other side goes.
fn stall(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} Reason\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{{}}")
}

#[test]
fn what_cannot_be_used_is_told_by_its_kind_and_tried_again_only_where_that_may_help() {
    use Unavailable::{BrokeOff, Empty, Filtered, Nonsense, Refused};
    let json = |body: &str| response("application/json", body);
    let stream = |body: &str| response("text/event-stream", body);
    let mut cases = vec![
        (json("{\"choices\":[{\"message\":{\"content\":null}}]}"), Empty, 1),
        (json("{\"choices\":[{\"message\":{\"content\":\" \\n\"}}]}"), Empty, 1),
        (json("{\"choices\":[]}"), Empty, 1),
        (stream("data: [DONE]\n\n"), Empty, 1),
        (stream(&format!("{}{STOP}", delta(" "))), Empty, 1),
        (json("{\"choices\":[{\"message\":{\"content\":\"a\",\"refusal\":\"no\"}}]}"), Filtered, 1),
        (json("{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"content_filter\"}]}"), Filtered, 1),
        (stream("data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"}}]}\n\n"), Filtered, 1),
        (stream("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n"), Filtered, 1),
        (json("{\"object\":\"error\"}"), Nonsense, 1),
        (json("{\"error\":{\"message\":\"x\"},\"choices\":[{\"message\":{\"content\":\"a\"}}]}"), Nonsense, 1),
        (json("{\"choices\":[{\"message\":{\"content\":[1]}}]}"), Nonsense, 1),
        (json("<html>"), Nonsense, 1),
        (json(""), Nonsense, 1),
        (stream("data: {\"error\":{\"message\":\"x\"}}\n\n"), Nonsense, 1),
        (stream("data: x\n\n"), Nonsense, 1),
        ("HTTP/1.1 OK\r\n\r\n".to_owned(), Nonsense, 1),
        (whole("a") + &" ".repeat(MOST_BODY_BYTES), Nonsense, 1),
        // Lines of data are joined by a line end, which a JSON string cannot have.
        (stream("data: {\"choices\":[{\"delta\":{\"content\":\"a\ndata: b\"}}]}\n\ndata: [DONE]\n\n"), Nonsense, 1),
        (stream(&format!("{}{STOP}", delta(&"a".repeat(MOST_LINE_BYTES)))), Nonsense, 1),
        (stream(""), BrokeOff, 2),
        (stream(&delta("a").replace("}]}\n\n", "")), BrokeOff, 2),
        (String::new(), BrokeOff, 2),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned(), BrokeOff, 2),
    ];
    cases.extend([201, 204, 301, 307, 400, 401, 403, 404, 422, 501].map(|code| (status(code), Refused(code), 1)));
    cases.extend([429, 500, 502, 503, 504].map(|code| (status(code), Refused(code), 2)));
    thread::scope(|scope| {
        for (answer, expected, requests) in cases {
            scope.spawn(move || {
                let provider = Provider::saying(answer.clone());
                let (result, _) = ask(&provider.model(), &call(LONG));
                assert_eq!((result, provider.requests().len()), (Err(expected), requests), "{answer:.200}");
            });
        }
    });
}

#[test]
fn a_stream_without_an_end_is_left() {
    let provider = Provider::start(|_, stream| {
        stream.write_all(response("text/event-stream", &delta("a")).as_bytes()).unwrap();
        let comment = format!(":{}\n", "x".repeat(10_000));
        let mut sent = 0;
        while sent < 2 * MOST_STREAM_BYTES && stream.write_all(comment.as_bytes()).is_ok() {
            sent += comment.len();
        }
        let _ = stream.write_all(STOP.as_bytes());
    });
    assert_eq!(ask(&provider.model(), &call(LONG)), (Err(Unavailable::Nonsense), vec!["a".to_owned()]));
}

#[test]
fn a_second_attempt_may_succeed_after_a_pause() {
    let provider = Provider::start(|number, stream| {
        let answer = if number == 0 { status(503) } else { whole("yes") };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let begin = Instant::now();
    assert_eq!(ask(&provider.model(), &call(LONG)), (Ok(()), vec!["yes".to_owned()]));
    assert!(begin.elapsed() >= Duration::from_millis(250), "{:?}", begin.elapsed());
}

#[test]
fn nothing_is_tried_again_once_something_was_said_or_with_little_time_left() {
    let provider = Provider::saying(response("text/event-stream", &delta("a")));
    let answer = ask(&provider.model(), &call(LONG));
    assert_eq!(answer, (Err(Unavailable::BrokeOff), vec!["a".to_owned()]));
    assert_eq!(provider.requests().len(), 1);
    let provider = Provider::saying(status(503));
    let begin = Instant::now();
    assert_eq!(ask(&provider.model(), &call(Duration::from_millis(1100))).0, Err(Unavailable::Refused(503)));
    assert_eq!(provider.requests().len(), 1);
    assert!(begin.elapsed() < Duration::from_millis(250), "{:?}", begin.elapsed());
}

#[test]
fn an_answer_that_takes_too_long_ends_at_the_deadline_wherever_it_is() {
    let behaviours: [fn(&mut TcpStream); 4] = [
        stall,
        |stream| {
            stream.write_all(response("application/json", "{").as_bytes()).unwrap();
            stall(stream);
        },
        |stream| {
            stream.write_all(response("text/event-stream", &delta("a")).as_bytes()).unwrap();
            stall(stream);
        },
        // Never silent for long, and never done.
        |stream| {
            stream.write_all(response("text/event-stream", "").as_bytes()).unwrap();
            while stream.write_all(b": still here\n\n").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        },
    ];
    for behaviour in behaviours {
        let provider = Provider::start(move |_, stream| behaviour(stream));
        let begin = Instant::now();
        assert_eq!(ask(&provider.model(), &call(Duration::from_millis(400))).0, Err(Unavailable::TooSlow));
        let took = begin.elapsed();
        assert!((400..900).contains(&took.as_millis()), "{took:?}");
        assert_eq!(provider.requests().len(), 1);
    }
    let provider = Provider::saying(whole("yes"));
    assert_eq!(ask(&provider.model(), &call(Duration::ZERO)).0, Err(Unavailable::TooSlow));
    assert_eq!(provider.requests().len(), 0);
}

#[test]
fn a_server_that_is_not_there_or_cannot_prove_who_it_is_was_not_reached() {
    let model = |url: &str| {
        let settings = settings(&[("OPENAI_BASE_URL", url), ("COMPANION_MODEL", "m")]);
        Model::new(settings, "Listen.".to_owned()).unwrap()
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begin = Instant::now();
    assert_eq!(ask(&model(&format!("http://{closed}")), &call(LONG)).0, Err(Unavailable::NotReached));
    // It was tried twice.
    assert!(begin.elapsed() >= Duration::from_millis(250));
    assert_eq!(ask(&model("http://nowhere.invalid"), &call(LONG)).0, Err(Unavailable::NotReached));
    let (port, _) = tls_server();
    assert_eq!(ask(&model(&format!("https://localhost:{port}")), &call(LONG)).0, Err(Unavailable::NotReached));
}

/// A TLS server for `localhost` that answers once a connection; its port and the certificate of its authority.
fn tls_server() -> (u16, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket.unwrap());
            let mut request = [0; 65536];
            if stream.read(&mut request).is_ok() && stream.write_all(whole("sealed").as_bytes()).is_ok() {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (port, certificate.to_vec())
}

#[test]
fn https_works_with_an_authority_that_is_trusted() {
    let (port, authority) = tls_server();
    let url = format!("https://localhost:{port}/v1");
    let mut settings = settings(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "m")]);
    settings.authorities = Authorities::Given(vec![authority.into()]);
    let model = Model::new(settings, "Listen.".to_owned()).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&model, &call(LONG)), (Ok(()), vec!["sealed".to_owned()]));
    }
}

#[test]
fn a_cut_ends_a_call_at_once_and_closes_its_connection() {
    let behaviours: [fn(&mut TcpStream); 3] = [
        |_| {},
        |stream| stream.write_all(response("application/json", "{").as_bytes()).unwrap(),
        |stream| stream.write_all(response("text/event-stream", &delta("a")).as_bytes()).unwrap(),
    ];
    for behaviour in behaviours {
        let (sender, closed) = mpsc::channel();
        let provider = Provider::start(move |_, stream| {
            behaviour(stream);
            stall(stream);
            let _ = sender.send(Instant::now());
        });
        let took = cut_after(Duration::from_millis(150), &provider.model());
        assert!(took < Duration::from_millis(200), "{took:?}");
        closed.recv_timeout(Duration::from_millis(500)).unwrap();
        assert_eq!(provider.requests().len(), 1);
    }
}

/// Asks, cuts the call after a while, and says how long it took from then on.
fn cut_after(wait: Duration, model: &Model) -> Duration {
    let call = call(LONG);
    let cut = call.cut.clone();
    let cutter = thread::spawn(move || {
        thread::sleep(wait);
        let begin = Instant::now();
        cut.now();
        begin
    });
    assert_eq!(ask(model, &call).0, Err(Unavailable::Cut));
    let end = Instant::now();
    end - cutter.join().unwrap()
}

#[test]
fn a_cut_ends_the_pause_and_the_handshake_too() {
    let provider = Provider::saying(status(503));
    let took = cut_after(Duration::from_millis(100), &provider.model());
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(provider.requests().len(), 1);
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let model = Model::new(settings(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "m")]), String::new()).unwrap();
    let took = cut_after(Duration::from_millis(150), &model);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_call_that_was_cut_before_asks_nobody() {
    let asked = Arc::new(AtomicBool::new(false));
    let seen = asked.clone();
    let provider = Provider::start(move |_, _| seen.store(true, Ordering::SeqCst));
    let call = call(LONG);
    call.cut.now();
    assert_eq!(ask(&provider.model(), &call), (Err(Unavailable::Cut), Vec::new()));
    assert!(!asked.load(Ordering::SeqCst));
}
