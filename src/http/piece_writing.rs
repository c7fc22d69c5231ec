//! Writes the pieces of a stream on the thread that sends them, so that no worker has to wake up for each piece.
//!
//! That thread may hold locks of the application, so it runs none of the application's code. Where the client is gone, it
//! has the poller find that out.

use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::shared::Shared;
use super::slot::Token;
use super::step::Disposition;

impl Shared {
    /// Writes what a stream whose end is open has buffered, as far as the socket allows; never blocks. Where another thread
    /// has the connection, that one goes on with it.
    pub(super) fn write_piece(&self, token: Token) {
        let taken = self.lock().table.take_awaiting(token, Instant::now());
        let Some(mut connection) = taken else {
            return self.update(|table| table.notify(token, Instant::now()));
        };
        let written = catch_unwind(AssertUnwindSafe(|| connection.write_pieces(&self.limits)));
        let written = written.unwrap_or(Disposition::Close);
        let stream = connection.stream().clone();
        if written == Disposition::Close {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let (has_ended, unused) = self.update(|table| {
            // It was removed meanwhile: its client is gone, or its place was needed.
            if !table.is_current(token) {
                return (false, Some(connection));
            }
            let now = Instant::now();
            match written {
                Disposition::AwaitClient { phase, progress } => table.park(token, connection, phase, progress, now),
                _ => table.await_piece(token, connection, now),
            }
            (written == Disposition::Close || table.slots[token.key].readiness.ended, None)
        });
        // Without the lock.
        drop(unused);
        if has_ended {
            self.rearm(token.key, &stream);
        }
    }
}
