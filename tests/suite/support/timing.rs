//! Deadlines of the tests: waiting for a condition, and measuring how long a step takes.

use std::time::{Duration, Instant};

/// Longer than any step takes that is expected to happen, also on a machine whose processors do other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A timeout for the server that a test waits for, and within which everything else happens.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

/// Calls `attempt` every 10 ms until it returns a value; fails the test after `limit`.
#[track_caller]
pub(crate) fn eventually<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "the condition did not hold within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the result of `action` and its duration.
pub(crate) fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (action(), started.elapsed())
}

/// Asserts that a step took as long as its deadline: at least nine tenths of it, and less than three seconds more.
#[track_caller]
pub(crate) fn assert_took(took: Duration, deadline: Duration) {
    assert!(took >= deadline.mul_f32(0.9), "{took:?} instead of {deadline:?}");
    assert!(took < deadline + Duration::from_secs(3), "{took:?} instead of {deadline:?}");
}
