//! Failures of a model's server: how they are classified, which are retried, and what ends a call.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use safespace::companion::{Companion, Finish, Unavailable};
use safespace::config::Authorities;

use super::fixture::{
    LONG, STOP, ask, build_model, call, client, client_at, completion, delta, fake_sending, model_settings, response,
    status, stream,
};
use crate::support::fake_model::{FakeModel, Reply};

/// The delay before a retry.
const RETRY_DELAY: Duration = Duration::from_millis(250);

fn refusal(code: u16, body: &str) -> String {
    format!("HTTP/1.1 {code} Reason\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_failure_is_classified_and_retried_once_only_if_it_may_be_transient() {
    use Unavailable::{Empty, Filtered, Interrupted, MalformedReply, Refused};
    let json = |body: &str| response("application/json", body);
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
        (json("{\"object\":\"error\"}"), MalformedReply, 1),
        (json("{\"error\":{\"message\":\"x\"},\"choices\":[{\"message\":{\"content\":\" \"}}]}"), MalformedReply, 1),
        (json("{\"choices\":[{\"message\":{\"content\":[1]}}]}"), Empty, 1),
        (json("<html>"), MalformedReply, 1),
        (response("text/html", "<!doctype html>\n<title>id: x</title>\n"), MalformedReply, 1),
        (json(""), Interrupted, 2),
        (json(" \n"), Interrupted, 2),
        (json("{"), MalformedReply, 1),
        (json("[{\"error\":{\"code\":500,\"message\":\"x\"}}]\n"), Refused(500), 2),
        (json("{\"error\":\"Unexpected endpoint or method.\"}"), MalformedReply, 1),
        (json("{\"choices\":null,\"base_resp\":{\"status_code\":1008}}"), Empty, 1),
        (
            json("{\"choices\":[{\"message\":{\"content\":\"<think>a</think>\\n\"},\"finish_reason\":\"stop\"}]}"),
            Empty,
            1,
        ),
        (stream(&delta("<think>a").replace("null", "\"length\"")), Empty, 1),
        (stream("data: {\"error\":{\"code\":\"429\",\"message\":\"x\"}}\n\ndata: [DONE]\n\n"), Refused(429), 2),
        (stream("data: {\"error\":{\"code\":\"content_filter\"}}\n\n"), Filtered, 1),
        (stream("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"SAFETY\"}]}\n\n"), Filtered, 1),
        (stream("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"network_error\"}]}\n\n"), Interrupted, 2),
        (stream(": a\n\n"), Interrupted, 2),
        (refusal(400, "{\"error\":{\"code\":\"content_filter\",\"param\":\"prompt\"}}"), Filtered, 1),
        (refusal(403, "{\"error\":{\"metadata\":{\"flagged_input\":\"x\"}}}"), Filtered, 1),
        (stream("data: {\"error\":{\"message\":\"x\"}}\n\n"), MalformedReply, 1),
        (stream("data: x\n\n"), MalformedReply, 1),
        ("HTTP/1.1 OK\r\n\r\n".to_owned(), MalformedReply, 1),
        // More than 1 MiB of a complete answer, and of a line.
        (completion("a") + &" ".repeat(1024 * 1024), MalformedReply, 1),
        (stream(&format!("{}{STOP}", delta(&"a".repeat(1024 * 1024)))), MalformedReply, 1),
        (stream(&format!("data: {{\"choi\n\n{}{STOP}", delta("x"))), MalformedReply, 1),
        (stream(&format!("{}data: {{\"error\":{{\"code\":\"content_filter\"}}}}\n\n", delta("a"))), Filtered, 1),
        (stream(""), Interrupted, 2),
        (stream(&delta("a").replace("}]}\n\n", "")), Interrupted, 2),
        (String::new(), Interrupted, 2),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned(), Interrupted, 2),
    ];
    cases.extend([204, 205, 301, 307, 400, 401, 403, 404, 422, 501].map(|code| (status(code), Refused(code), 1)));
    cases.extend([408, 425, 429, 498, 500, 502, 503, 504, 520, 524, 529].map(|code| (status(code), Refused(code), 2)));
    thread::scope(|scope| {
        for (reply, expected, requests) in cases {
            scope.spawn(move || {
                let model = fake_sending(reply.clone());
                let (result, _) = ask(&client(&model), &call(LONG));
                assert_eq!((result, model.requests().len()), (Err(expected), requests), "{reply:.200}");
            });
        }
    });
}

#[test]
fn a_stream_without_an_end_is_cut_after_its_size_limit() {
    let model = FakeModel::start();
    model.next(|reply| {
        reply.send(stream(&delta("a")).as_bytes())?;
        let comment = format!(":{}\n", "x".repeat(10_000));
        // Twice the limit of 8 MiB.
        for _ in 0..16 * 1024 * 1024 / comment.len() {
            reply.send(comment.as_bytes())?;
        }
        reply.send(STOP.as_bytes())
    });
    assert_eq!(ask(&client(&model), &call(LONG)), (Ok(Finish::Cut), vec!["a".to_owned()]));
}

#[test]
fn a_retry_after_the_delay_may_succeed() {
    let model = fake_sending(completion("yes"));
    model.next(|reply| reply.send(status(503).as_bytes()));
    let begin = Instant::now();
    assert_eq!(ask(&client(&model), &call(LONG)), (Ok(Finish::Complete), vec!["yes".to_owned()]));
    assert!(begin.elapsed() >= RETRY_DELAY, "{:?}", begin.elapsed());
}

#[test]
fn a_failure_after_the_first_piece_or_with_little_time_left_is_not_retried() {
    let model = fake_sending(stream(&delta("a")));
    assert_eq!(ask(&client(&model), &call(LONG)), (Ok(Finish::Cut), vec!["a".to_owned()]));
    assert_eq!(model.requests().len(), 1);
    let model = fake_sending(status(503));
    let client = client(&model);
    let begin = Instant::now();
    assert_eq!(ask(&client, &call(Duration::from_millis(1100))).0, Err(Unavailable::Refused(503)));
    assert_eq!(model.requests().len(), 1);
    assert!(begin.elapsed() < RETRY_DELAY, "{:?}", begin.elapsed());
}

/// Far below [`LONG`], after which these calls would end otherwise, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Sends the start of a reply; then the reply stalls.
type Start = fn(&mut Reply<'_>) -> io::Result<()>;

/// Replies that stall: without a response, in a complete answer, in a stream.
const STALLS: [(&str, Start); 5] = [
    ("without a response", |_| Ok(())),
    ("in a complete answer", |reply| reply.send(response("application/json", "{").as_bytes())),
    ("in white space", |reply| reply.send(response("application/json", "\n\n").as_bytes())),
    ("in thoughts", |reply| reply.send(stream(&delta("<think>a")).as_bytes())),
    (IN_WORDS, |reply| reply.send(stream(&delta("a")).as_bytes())),
];

const IN_WORDS: &str = "in words";

#[test]
fn a_reply_that_stalls_or_never_ends_times_out_at_the_deadline_and_is_cut_if_it_has_words() {
    let endless: Start = |reply| {
        reply.send(stream("").as_bytes())?;
        loop {
            reply.send(b": still here\n\n")?;
            thread::sleep(Duration::from_millis(20));
        }
    };
    for (case, start) in STALLS.into_iter().chain([("in comments without an end", endless)]) {
        let model = FakeModel::start();
        model.next(move |reply| start(reply).and_then(|()| reply.stall()));
        let client = client(&model);
        let begin = Instant::now();
        let expected = if case == IN_WORDS { Ok(Finish::Cut) } else { Err(Unavailable::TimedOut) };
        assert_eq!(ask(&client, &call(Duration::from_millis(400))).0, expected, "{case}");
        let elapsed = begin.elapsed();
        assert!(elapsed >= Duration::from_millis(400) && elapsed < AT_ONCE, "{case}: {elapsed:?}");
        assert_eq!(model.requests().len(), 1, "{case}");
    }
}

#[test]
fn a_call_after_its_deadline_sends_no_request() {
    let model = FakeModel::start();
    assert_eq!(ask(&client(&model), &call(Duration::ZERO)).0, Err(Unavailable::TimedOut));
    assert_eq!(model.requests().len(), 0);
}

#[test]
fn a_closed_port_an_unknown_name_and_an_untrusted_certificate_are_not_reached() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begin = Instant::now();
    assert_eq!(ask(&client_at(&format!("http://{closed}")), &call(LONG)).0, Err(Unavailable::NotReached));
    assert!(begin.elapsed() >= RETRY_DELAY, "it is retried: {:?}", begin.elapsed());
    let (port, _) = tls_server();
    for url in ["http://nowhere.invalid".to_owned(), format!("https://localhost:{port}")] {
        assert_eq!(ask(&client_at(&url), &call(LONG)).0, Err(Unavailable::NotReached), "{url}");
    }
}

/// A TLS server for `localhost` that answers one request per connection: its port and its self-signed certificate.
fn tls_server() -> (u16, Vec<u8>) {
    let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = generated.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(generated.signing_key.serialize_der().into());
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
            if stream.read(&mut request).is_ok() && stream.write_all(completion("encrypted").as_bytes()).is_ok() {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                // Closing a socket with unread bytes resets the connection, and the client loses the response.
                let _ = io::copy(&mut stream, &mut io::sink());
            }
        }
    });
    (port, certificate.to_vec())
}

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted() {
    let (port, authority) = tls_server();
    let url = format!("https://localhost:{port}/v1");
    let mut settings = model_settings(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "m")]);
    settings.authorities = Authorities::Given(vec![authority.into()]);
    let client = build_model(settings).unwrap();
    for call_number in 0..2 {
        assert_eq!(
            ask(&client, &call(LONG)),
            (Ok(Finish::Complete), vec!["encrypted".to_owned()]),
            "call {call_number}"
        );
    }
}

/// Asks, cancels the call after `delay`, and returns how long the call took from then on.
fn time_to_cancel(delay: Duration, client: &Companion) -> Duration {
    let call = call(LONG);
    let cancellation = call.cancellation.clone();
    let canceller = thread::spawn(move || {
        thread::sleep(delay);
        let begin = Instant::now();
        cancellation.cancel();
        begin
    });
    assert_eq!(ask(client, &call).0, Err(Unavailable::Cancelled));
    let end = Instant::now();
    end - canceller.join().unwrap()
}

#[test]
fn a_cancellation_ends_a_call_at_once_and_closes_its_connection() {
    for (case, start) in STALLS {
        let model = FakeModel::start();
        model.next(move |reply| start(reply).and_then(|()| reply.stall()));
        let elapsed = time_to_cancel(Duration::from_millis(150), &client(&model));
        assert!(elapsed < AT_ONCE, "{case}: {elapsed:?}");
        let begin = Instant::now();
        model.wait_for_disconnects(1);
        assert!(begin.elapsed() < AT_ONCE, "{case}: {:?}", begin.elapsed());
        assert_eq!(model.requests().len(), 1, "{case}");
    }
}

#[test]
fn a_cancellation_ends_the_delay_before_a_retry() {
    let model = fake_sending(status(503));
    let elapsed = time_to_cancel(Duration::from_millis(100), &client(&model));
    assert!(elapsed < Duration::from_millis(100), "{elapsed:?}");
    assert_eq!(model.requests().len(), 1);
}

#[test]
fn a_cancellation_ends_a_tls_handshake() {
    // It accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client_at(&format!("https://{}", silent.local_addr().unwrap()));
    let elapsed = time_to_cancel(Duration::from_millis(150), &client);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
}

#[test]
fn a_call_that_is_already_cancelled_sends_no_request() {
    let model = FakeModel::start();
    let call = call(LONG);
    call.cancellation.cancel();
    assert_eq!(ask(&client(&model), &call), (Err(Unavailable::Cancelled), Vec::new()));
    assert!(model.requests().is_empty());
}
