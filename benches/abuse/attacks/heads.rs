//! `HEAD` of a large history: a small request that may cost as much as a large response.

use super::slow_histories::{MESSAGES, expanding_text};
use crate::attack::Attacker;
use crate::database::Database;
use crate::flood::flood;
use crate::requests::on_session;
use crate::support::outcome::Outcome;

const CONNECTIONS: usize = 200;

pub(super) fn prepare(database: &mut Database) -> Outcome<Vec<Attacker>> {
    let session = database.store(1, MESSAGES, &expanding_text())?.remove(0);
    let attacker = || {
        let session = session.clone();
        flood(move |_| Some(on_session("HEAD", &session, "/chat")))
    };
    Ok((0..CONNECTIONS).map(|_| attacker()).collect())
}
