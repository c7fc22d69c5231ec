//! Attackers that send one request after another, each on a connection that is kept.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::attack::{ATTACKER, Attacker, Tally};
use crate::support::client::{Answer, Client};

/// From a failure to the next connection.
const PAUSE: Duration = Duration::from_millis(20);

/// An attacker that sends the requests of `next` until it returns none. `next` gets the response before.
pub(crate) fn flood(next: impl FnMut(Option<&Answer>) -> Option<String> + Send + 'static) -> Attacker {
    Box::new(|address, is_over| run(address, is_over, next))
}

fn run(address: SocketAddr, is_over: &AtomicBool, mut next: impl FnMut(Option<&Answer>) -> Option<String>) -> Tally {
    let (mut tally, mut client, mut answer) = (Tally::default(), None, None);
    while !is_over.load(Ordering::Relaxed) {
        let Some(request) = next(answer.as_ref()) else { break };
        tally.requests += 1;
        answer = client.take().or_else(|| Client::connect(ATTACKER, address).ok()).and_then(|mut connected: Client| {
            let answer = connected.send(&request).ok()?;
            client = Some(connected);
            Some(answer)
        });
        match &answer {
            Some(answer) => _ = tally.count(answer.status),
            None => thread::sleep(PAUSE),
        }
    }
    tally
}
