//! Which worker polls, which serves and which sleeps: the Leader/Followers pattern.
//!
//! One worker, the leader, polls the sockets. When it finds a connection to be served it steps down and serves it. The next
//! worker that finds nothing to serve, mostly the same one, leads again, so a quick request wakes nobody. Before the last
//! active worker enters code that may block, it has the worker that stands by (`standby`) watch the poller, or wakes a sleeper to
//! lead. So the leader steps down only while there is one of them, and the sockets are always polled soon.

use std::mem;
use std::thread::{self, Thread};

/// Connections that workers take without a poll between: a client that pipelines requests without end must not keep
/// them from polling.
const MAX_TAKEN: usize = 64;

/// Queued connections for which another worker is woken to share the work of quick requests: to wake it costs as much as
/// serving one or two of them.
const MIN_SHARED: usize = 3;

/// A worker that waits for work.
pub(super) enum Sleeper {
    Parked(Thread),
    /// The one that stands by.
    Standby,
}

/// The worker that stands by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandbyState {
    None,
    Sleeps,
    /// It was woken and has not looked at the queue yet. No other takes its place before.
    Woken,
}

/// The workers of a server.
pub(super) struct Scheduler {
    /// Workers that read or write and soon look at the queue again, so not those inside code that may block.
    pub(super) active_workers: usize,
    /// How many of those the machine runs at once.
    processors: usize,
    /// Workers that wait for work, the last to fall asleep at the end, without the one that stands by.
    pub(super) sleepers: Vec<Thread>,
    /// Whether a worker stands by. It is the last to be woken.
    standby: StandbyState,
    /// It watches the poller, and looks at the queue, or leads, at the next event.
    pub(super) is_watched: bool,
    /// A worker was woken and has not looked at the queue yet.
    is_waking: bool,
    /// A worker polls. Otherwise there is a sleeper, or one that was woken and has not looked yet, or the poller is watched.
    is_led: bool,
    /// Connections taken since a worker last polled.
    taken: usize,
    /// Workers beyond the configured number, started in place of stuck ones.
    surplus: usize,
}

impl Scheduler {
    /// Without workers; the first one to start leads.
    pub(super) fn new() -> Scheduler {
        Scheduler {
            active_workers: 0,
            processors: thread::available_parallelism().map_or(1, usize::from),
            sleepers: Vec::new(),
            standby: StandbyState::None,
            is_watched: false,
            is_waking: false,
            is_led: true,
            taken: 0,
            surplus: 0,
        }
    }

    /// Whether a worker with nothing to serve becomes the leader, with so many connections in the queue; from here on it is.
    pub(super) fn lead(&mut self, queued: usize) -> bool {
        let leads = self.is_leader_wanted(queued);
        self.is_led |= leads;
        leads
    }

    /// Whether there is no leader and somebody is to poll before more is served.
    pub(super) fn is_leader_wanted(&self, queued: usize) -> bool {
        !self.is_led && (queued == 0 || self.taken >= MAX_TAKEN || self.waiting_workers() == 0)
    }

    /// Whether the leader may serve a connection, and not another worker.
    pub(super) fn may_step_down(&self) -> bool {
        self.active_workers < self.processors && self.waiting_workers() > 0
    }

    /// The leader serves the connection that it has taken.
    pub(super) fn step_down(&mut self) {
        (self.is_led, self.taken) = (false, 1);
    }

    /// A worker has taken a connection.
    pub(super) fn begin_work(&mut self) {
        self.active_workers += 1;
        self.taken += 1;
    }

    /// The worker to be woken when so many connections are queued. None while as many workers are active as there are
    /// processors: each of them soon looks at the queue.
    pub(super) fn wake_for_queue(&mut self, queued: usize) -> Option<Sleeper> {
        let is_needed = queued > 0 && self.active_workers < self.processors;
        // Without a leader the last sleeper is kept to become one.
        if is_needed && (self.is_led || self.waiting_workers() > 1) { self.wake() } else { None }
    }

    /// The same where a worker is active anyway: for several connections only. Each worker that is woken wakes the next.
    pub(super) fn wake_to_share(&mut self, queued: usize) -> Option<Sleeper> {
        if queued < MIN_SHARED { None } else { self.wake_for_queue(queued) }
    }

    /// The same where a worker enters code that may block, or ends. None while another is active: thus quick requests keep
    /// a few threads busy, and slow ones delay no others.
    pub(super) fn wake_successor(&mut self, queued: usize) -> Option<Sleeper> {
        let is_needed = self.active_workers == 0 && (queued > 0 || !self.is_led);
        if is_needed { self.wake() } else { None }
    }

    /// The last to fall asleep is woken first: its stack is in the caches, and the stacks of the others stay untouched.
    fn wake(&mut self) -> Option<Sleeper> {
        if self.is_waking {
            return None;
        }
        let woken = match self.sleepers.pop() {
            Some(thread) => Sleeper::Parked(thread),
            None if self.standby == StandbyState::Sleeps => {
                self.standby = StandbyState::Woken;
                Sleeper::Standby
            }
            None => return None,
        };
        self.is_waking = true;
        Some(woken)
    }

    /// Whether a worker whose `park` returned was woken on purpose; `park` may also return for no reason.
    pub(super) fn was_woken(&mut self, worker: &Thread) -> bool {
        let was_woken = self.sleepers.iter().all(|sleeper| sleeper.id() != worker.id());
        self.is_waking &= !was_woken;
        was_woken
    }

    /// Whether the last active worker, which enters code that may block, need wake nobody while the poller is watched: nothing is
    /// queued, and a worker stands by.
    pub(super) fn may_watch(&self, queued: usize) -> bool {
        self.active_workers == 0 && queued == 0 && !self.is_led && self.standby == StandbyState::Sleeps
    }

    /// Whether a worker with nothing to serve stands by, since no other does; from here on it does.
    pub(super) fn stand_by(&mut self) -> bool {
        let is_free = self.standby == StandbyState::None;
        if is_free {
            self.standby = StandbyState::Sleeps;
        }
        is_free
    }

    /// The worker that stood by looks at the queue.
    pub(super) fn end_standby(&mut self) {
        self.is_waking &= mem::replace(&mut self.standby, StandbyState::None) != StandbyState::Woken;
    }

    fn waiting_workers(&self) -> usize {
        self.sleepers.len() + usize::from(self.standby == StandbyState::Sleeps)
    }

    /// Workers that look at the queue at once, or soon.
    pub(super) fn free_workers(&self) -> usize {
        self.active_workers + self.waiting_workers()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The scheduler of two processors whose leader has just taken a connection, with so many sleepers.
    fn stepped_down(sleepers: usize) -> Scheduler {
        let mut scheduler = Scheduler { processors: 2, ..Scheduler::new() };
        scheduler.sleepers = vec![thread::current(); sleepers];
        scheduler.begin_work();
        scheduler.step_down();
        scheduler
    }

    #[test]
    fn without_a_leader_the_last_sleeper_is_woken_to_lead_alone() {
        let mut scheduler = stepped_down(1);
        assert!(scheduler.wake_for_queue(100).is_none(), "it is kept");
        assert!(scheduler.wake_successor(0).is_none(), "another worker is active");
        scheduler.active_workers = 0;
        assert!(scheduler.wake_successor(0).is_some());
        assert!(scheduler.lead(100) && !scheduler.lead(100), "whatever is queued");
        assert!(!scheduler.may_step_down(), "nobody could lead in its place");
    }

    #[test]
    fn a_worker_leads_when_the_queue_is_empty_or_much_was_taken_since_the_last_poll() {
        let mut scheduler = stepped_down(2);
        assert!(scheduler.is_leader_wanted(0) && !scheduler.is_leader_wanted(1));
        (1..MAX_TAKEN).for_each(|_| scheduler.begin_work());
        assert!(scheduler.lead(1));
        (1..MAX_TAKEN).for_each(|_| scheduler.begin_work());
        scheduler.step_down();
        assert!(!scheduler.is_leader_wanted(1), "what others took while it polled does not count");
    }

    #[test]
    fn the_worker_that_stands_by_is_woken_last_and_watches_while_nothing_is_queued() {
        let mut scheduler = stepped_down(1);
        assert!(scheduler.stand_by() && !scheduler.stand_by(), "one of them");
        assert!(!scheduler.may_watch(0), "another worker is active");
        scheduler.active_workers = 0;
        assert!(scheduler.may_watch(0) && !scheduler.may_watch(1), "what is queued waits for nobody");
        assert!(matches!(scheduler.wake_for_queue(1), Some(Sleeper::Parked(_))));
        scheduler.is_waking = false;
        assert!(scheduler.wake_for_queue(1).is_none(), "it is kept to lead");
        assert!(matches!(scheduler.wake_successor(1), Some(Sleeper::Standby)));
        assert!(!scheduler.may_watch(0), "it is awake");
        assert!(!scheduler.stand_by(), "it has not looked yet");
        scheduler.end_standby();
        assert!(!scheduler.is_waking && scheduler.lead(0), "it looks, and leads");
        assert!(scheduler.stand_by());
    }

    #[test]
    fn a_few_connections_are_shared_with_nobody_and_many_with_one_worker_at_a_time() {
        let mut scheduler = stepped_down(3);
        assert!(scheduler.wake_to_share(MIN_SHARED - 1).is_none());
        assert!(scheduler.wake_to_share(MIN_SHARED).is_some());
        assert!(scheduler.wake_to_share(MIN_SHARED).is_none(), "one is on its way");
    }

    #[test]
    fn each_worker_that_is_woken_to_share_wakes_the_next_until_all_processors_have_one() {
        let mut scheduler = Scheduler { processors: 4, ..stepped_down(0) };
        scheduler.sleepers = (0..6).map(|_| thread::spawn(|| {}).thread().clone()).collect();
        while let Some(Sleeper::Parked(woken)) = scheduler.wake_to_share(MIN_SHARED) {
            assert!(scheduler.was_woken(&woken));
            scheduler.begin_work();
        }
        assert_eq!(scheduler.active_workers, 4);
    }
}
