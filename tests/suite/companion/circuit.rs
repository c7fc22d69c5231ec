//! When a model is not asked: after failures, and where its address is not one that may be reached.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use safespace::companion::breaker::{Breaker, Change, FIRST_REST, LONGEST_REST, MOST_FAILURES, Outcome};
use safespace::companion::egress::Egress;
use safespace::companion::{Model, ModelError, Unavailable};
use safespace::config::{ModelSettings, is_local};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::NextTimeout;

use super::model::{Provider, ask, call, settings, whole};

const LONG: Duration = Duration::from_secs(10);

fn fail(breaker: &Breaker, now: Instant) -> Change {
    breaker.admit(now).ok().unwrap().end(Outcome::Failed, now)
}

#[test]
fn a_circuit_opens_after_failures_in_a_row_and_rests_longer_each_time() {
    let breaker = Breaker::default();
    let mut now = Instant::now();
    for _ in 1..MOST_FAILURES {
        assert_eq!(fail(&breaker, now), Change::None);
    }
    // An answer in between begins the row anew.
    assert_eq!(breaker.admit(now).ok().unwrap().end(Outcome::Answered, now), Change::None);
    for _ in 1..MOST_FAILURES {
        assert_eq!(fail(&breaker, now), Change::None);
    }
    let late = breaker.admit(now).ok().unwrap();
    assert_eq!(fail(&breaker, now), Change::Opened(FIRST_REST));
    assert_eq!(late.end(Outcome::Failed, now), Change::None);
    for seconds in [5, 10, 20, 40, 60, 60] {
        let rest = Duration::from_secs(seconds).min(LONGEST_REST);
        assert_eq!(breaker.admit(now).err(), Some(rest));
        assert_eq!(breaker.admit(now + rest - Duration::from_millis(1)).err(), Some(Duration::from_millis(1)));
        now += rest;
        let probe = breaker.admit(now).ok().unwrap();
        assert!(breaker.admit(now).is_err(), "a second one while the first is not back");
        assert_eq!(probe.end(Outcome::Failed, now), Change::None);
    }
    now += LONGEST_REST;
    // One that says nothing leaves its place to the next.
    drop(breaker.admit(now).ok().unwrap());
    assert_eq!(breaker.admit(now).ok().unwrap().end(Outcome::Answered, now), Change::Closed);
    for _ in 1..MOST_FAILURES {
        assert_eq!(fail(&breaker, now), Change::None);
    }
    assert_eq!(fail(&breaker, now), Change::Opened(FIRST_REST));
}

#[test]
fn a_model_that_failed_too_often_is_not_asked() {
    let provider = Provider::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let model = provider.model();
    for _ in 0..5 {
        assert_eq!(ask(&model, &call(LONG)).0, Err(Unavailable::Refused(401)));
    }
    let Err(Unavailable::Resting(left)) = ask(&model, &call(LONG)).0 else { panic!("it was asked") };
    assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(5), "{left:?}");
    assert_eq!(provider.requests().len(), 5);
}

#[test]
fn what_one_conversation_brings_about_takes_the_model_from_nobody() {
    let filtered = "{\"choices\":[{\"message\":{\"refusal\":\"no\"}}]}";
    for answer in [
        "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
        whole(" "),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{filtered}", filtered.len()),
    ] {
        let provider = Provider::saying(answer);
        let model = provider.model();
        for _ in 0..6 {
            assert!(ask(&model, &call(LONG)).0.is_err());
        }
        assert_eq!(provider.requests().len(), 6);
    }
}

const LOCAL: [&str; 16] = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "::1",
    "fc00::1",
    "fdff::1",
    "fe80::1",
    "febf::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
];

const PUBLIC: [&str; 16] = [
    "8.8.8.8",
    "0.0.0.0",
    "172.15.0.1",
    "172.32.0.1",
    "192.169.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "169.253.0.1",
    "11.0.0.1",
    "224.0.0.1",
    "::",
    "2001:4860:4860::8888",
    "fec0::1",
    "ff02::1",
    "::ffff:8.8.8.8",
    "64:ff9b::a00:1",
];

#[test]
fn local_egress_reaches_loopback_and_private_addresses_only() {
    for (addresses, local) in [(LOCAL, true), (PUBLIC, false)] {
        for address in addresses {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(is_local(ip), local, "{address}");
            let host = if ip.is_ipv6() { format!("[{address}]") } else { address.to_owned() };
            let uri = format!("http://{host}:1/").parse().unwrap();
            let config = ureq::config::Config::default();
            let resolve = |local_only| Egress::new(local_only).resolve(&uri, &config, NextTimeout::default());
            assert_eq!(resolve(true).is_ok(), local, "{address}");
            assert!(resolve(false).is_ok(), "{address}");
        }
    }
}

#[test]
fn a_model_with_local_egress_is_reached_by_name_and_a_public_one_is_refused_at_start() {
    let provider = Provider::saying(whole("yes"));
    let url = provider.url.replace("127.0.0.1", "localhost");
    let pairs = [("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "m"), ("COMPANION_EGRESS", "local")];
    let local = settings(&pairs);
    assert_eq!(ask(&Model::new(local.clone(), String::new()).unwrap(), &call(LONG)).0, Ok(()));
    // 134744072 is 8.8.8.8, as the system reads it: what looks like a name is looked up.
    for host in ["8.8.8.8", "134744072"] {
        let settings = ModelSettings { base_url: format!("http://{host}").parse().unwrap(), ..local.clone() };
        assert!(matches!(Model::new(settings, String::new()), Err(ModelError::Public(_))), "{host}");
    }
    // A name that means nothing now may mean something later.
    let settings = ModelSettings { base_url: "http://nowhere.invalid".parse().unwrap(), ..local };
    assert_eq!(ask(&Model::new(settings, String::new()).unwrap(), &call(LONG)).0, Err(Unavailable::NotReached));
}
