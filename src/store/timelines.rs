//! Which of several servers is the primary: each promotion raises the timeline, so of two servers that take writes the one of the
//! lower timeline is the old primary, whose writes will be lost.

use std::collections::BTreeSet;
use std::time::Instant;

use parking_lot::Mutex;
use postgres::Client;

/// What a server says of itself.
pub(super) struct ServerState {
    /// Whether sessions can only read.
    pub(super) is_read_only: bool,
    /// The timeline on which it writes; `None` on a standby.
    pub(super) timeline: Option<u32>,
}

impl ServerState {
    pub(super) fn ask(client: &mut Client) -> Result<ServerState, postgres::Error> {
        let rows = client.query_typed(include_str!("../../sql/schema/server_state.sql"), &[])?;
        let timeline = |digits: &str| u32::from_str_radix(digits, 16).ok();
        Ok(ServerState {
            is_read_only: rows.first().is_none_or(|row| row.get("is_read_only")),
            timeline: rows.first().and_then(|row| row.get::<_, Option<&str>>("timeline").and_then(timeline)),
        })
    }
}

/// The newest timeline of several servers, and what follows from it for connections.
#[derive(Default)]
pub(super) struct Timelines(Mutex<State>);

#[derive(Default)]
struct State {
    newest: Option<u32>,
    /// When a newer timeline than the first one was found: connections that were opened before are not used again.
    promoted_at: Option<Instant>,
    /// Servers that take writes on an older timeline.
    left: BTreeSet<String>,
}

impl Timelines {
    /// Notes what a server said of itself. Returns whether it may be used: not on an older timeline than the newest.
    pub(super) fn observe(&self, host: &str, server: &ServerState) -> bool {
        let mut state = self.0.lock();
        let Some(timeline) = server.timeline else {
            if state.left.remove(host) {
                log::warn!(host; "The server of the older timeline is a standby now");
            }
            return true;
        };
        let newest = *state.newest.get_or_insert(timeline);
        if timeline < newest {
            if state.left.insert(host.to_owned()) {
                log::error!(host, timeline, newest; "A server of an older timeline takes writes: it is not used, and what others write there will be lost");
            }
            return false;
        }
        if timeline > newest {
            state.newest = Some(timeline);
            state.promoted_at = Some(Instant::now());
            log::warn!(host, timeline; "Another server was promoted and is used now");
        }
        state.left.remove(host);
        true
    }

    /// Whether a connection may be one to an older timeline.
    pub(super) fn is_outdated(&self, opened_at: Instant) -> bool {
        self.0.lock().promoted_at.is_some_and(|promoted_at| opened_at < promoted_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_servers_that_take_writes_those_of_lower_timelines_are_not_used() {
        let timelines = Timelines::default();
        let observe = |host, timeline: Option<u32>| {
            timelines.observe(host, &ServerState { is_read_only: timeline.is_none(), timeline })
        };
        let before = Instant::now();
        for (host, timeline, is_used, promotes) in [
            ("one", Some(3), true, false),
            ("two", None, true, false),
            ("one", Some(3), true, false),
            ("two", Some(4), true, true),
            ("one", Some(3), false, true),
            // The server of the newest timeline being away does not bring the other one back.
            ("one", Some(3), false, true),
            ("one", None, true, true),
            ("one", Some(5), true, true),
            ("two", Some(4), false, true),
            // A proxy in front of the same server.
            ("three", Some(5), true, true),
        ] {
            assert_eq!(observe(host, timeline), is_used, "{host} {timeline:?}");
            assert_eq!(timelines.is_outdated(before), promotes, "{host} {timeline:?}");
        }
        assert!(!timelines.is_outdated(Instant::now()));
    }
}
