//! Which worker polls, which serves and which sleeps: the Leader/Followers pattern.
//!
//! One worker, the leader, polls the sockets. When it finds a connection to be served and another worker sleeps, it promotes
//! that one to leader and serves the connection itself. Exactly one worker leads, or is being woken to lead, so the sockets
//! are always polled.

use std::thread::{self, Thread};

/// The workers of a server.
pub(super) struct Scheduler {
    /// Workers that read or write and soon look at the queue again, so not those inside the application, which may block.
    pub(super) active_workers: usize,
    /// How many of those the machine runs at once.
    processors: usize,
    /// Workers that wait for work, the last to fall asleep at the end.
    pub(super) sleepers: Vec<Thread>,
    /// A worker was woken and has not looked at the queue yet.
    is_waking: bool,
    /// The leader has stepped down, and the worker that was woken takes its place.
    pub(super) is_leader_wanted: bool,
    /// Workers beyond the configured number, started in place of stuck ones.
    surplus: usize,
}

impl Scheduler {
    pub(super) fn new() -> Scheduler {
        Scheduler {
            active_workers: 0,
            processors: thread::available_parallelism().map_or(1, usize::from),
            sleepers: Vec::new(),
            is_waking: false,
            is_leader_wanted: false,
            surplus: 0,
        }
    }

    /// The worker to be woken if connections are queued. None while as many workers are active as there are processors: each
    /// of them soon looks at the queue.
    pub(super) fn wake_for_queue(&mut self) -> Option<Thread> {
        self.wake_if_fewer_than(self.processors)
    }

    /// The same for a worker that enters the application, which may block. None while another is active: thus quick requests
    /// keep a few threads busy, and slow ones delay no others.
    pub(super) fn wake_successor(&mut self) -> Option<Thread> {
        self.wake_if_fewer_than(1)
    }

    /// The same for the leader, which the worker to be woken replaces.
    pub(super) fn promote_follower(&mut self) -> Option<Thread> {
        let follower = self.wake_for_queue();
        self.is_leader_wanted |= follower.is_some();
        follower
    }

    /// The last to fall asleep is woken first: its stack is in the caches, and the stacks of the others stay untouched.
    fn wake_if_fewer_than(&mut self, active_workers: usize) -> Option<Thread> {
        if self.is_waking || self.active_workers >= active_workers {
            return None;
        }
        let woken = self.sleepers.pop();
        self.is_waking = woken.is_some();
        woken
    }

    /// Whether a worker whose `park` returned was woken on purpose; `park` may also return for no reason.
    pub(super) fn was_woken(&mut self, worker: &Thread) -> bool {
        let was_woken = self.sleepers.iter().all(|sleeper| sleeper.id() != worker.id());
        self.is_waking &= !was_woken;
        was_woken
    }

    /// Makes room for a worker in place of a stuck one, up to as many again as are configured.
    pub(super) fn allow_surplus(&mut self, workers: usize) -> bool {
        let is_allowed = self.surplus < workers;
        self.surplus += usize::from(is_allowed);
        is_allowed
    }

    /// Whether a worker that was stuck, or could not be started, leaves its place to another.
    pub(super) fn retire_surplus(&mut self) -> bool {
        let is_surplus = self.surplus > 0;
        self.surplus -= usize::from(is_surplus);
        is_surplus
    }
}
