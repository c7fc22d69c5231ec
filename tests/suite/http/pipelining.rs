//! Clients that send further requests before they have the response to the first take nothing from others.

use std::io::Read;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use safespace::http::Limits;

use crate::support::eventually;
use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;

/// A request for which no other worker is woken.
const QUICK: &[u8] = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n";

/// Ends the threads of a client also if the test fails.
struct Ending<'a>(&'a Raw);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let _ = self.0.stream.shutdown(Shutdown::Both);
    }
}

/// Has a client send a request without end and discard the responses, while `run` runs. `received` counts their bytes.
fn pipeline(raw: &Raw, request: &[u8], received: &AtomicUsize, run: impl FnOnce()) {
    thread::scope(|scope| {
        let _ending = Ending(raw);
        let mut writer = Raw::new(raw.stream.try_clone().unwrap());
        let mut reader = raw.stream.try_clone().unwrap();
        scope.spawn(move || {
            while !writer.was_refused {
                writer.send(&request.repeat(1000));
            }
        });
        scope.spawn(move || {
            while let read @ 1.. = reader.read(&mut [0; 64 * 1024]).unwrap_or(0) {
                received.fetch_add(read, Ordering::Relaxed);
            }
        });
        eventually(PATIENCE, || (received.load(Ordering::Relaxed) > 0).then_some(()));
        run();
    });
}

/// Has as many clients do so as there are counters.
fn pipeline_all(server: &TestServer, request: &[u8], counters: &[AtomicUsize], run: &dyn Fn()) {
    match counters {
        [] => run(),
        [counter, rest @ ..] => {
            pipeline(&server.connect(), request, counter, || pipeline_all(server, request, rest, run));
        }
    }
}

#[test]
fn clients_that_pipeline_without_end_refuse_no_request_of_others_and_are_served() {
    let server = TestServer::start(Limits { workers: 2, max_queued: 4, ..limits() });
    for repeated in [GET, QUICK] {
        let counters: [AtomicUsize; 12] = Default::default();
        pipeline_all(&server, repeated, &counters, &|| {
            let before = counters.each_ref().map(|counter| counter.load(Ordering::Relaxed));
            let mut kept = server.connect();
            for method in ["GET", "POST", "DELETE"].repeat(20) {
                let request = format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(server.connect().ask(request.as_bytes()).status, 200, "{method}");
                assert_eq!(kept.ask(request.as_bytes()).status, 200, "{method}");
            }
            for (counter, before) in counters.iter().zip(before) {
                eventually(PATIENCE, || (counter.load(Ordering::Relaxed) > before).then_some(()));
            }
        });
    }
}
