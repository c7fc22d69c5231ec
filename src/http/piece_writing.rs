//! Writes the pieces of a stream on the thread that sends them, so that no worker has to wake up for each piece.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::shared::{Shared, discard, run_callback};
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
        let (unused, removed, disconnected) = self.update(|table| {
            // It was removed meanwhile: its client is gone, or its place was needed.
            if !table.is_current(token) {
                return (Some(connection), None, None);
            }
            let now = Instant::now();
            match written.unwrap_or(Disposition::Close) {
                Disposition::AwaitApplication => table.await_piece(token, connection, now),
                Disposition::AwaitClient { phase, progress } => table.park(token, connection, phase, progress, now),
                _ => return (Some(connection), table.remove(token.key), None),
            }
            let removed = table.remove_failed(token.key);
            (None, removed, table.take_disconnected(token.key))
        });
        discard(unused);
        disconnected.into_iter().for_each(run_callback);
        if let Some(removed) = removed {
            self.close_removed(removed);
            // It ends when the last connection of a server that stops is closed.
            self.wake_poller();
        }
    }
}
