//! A circuit breaker: after failures in a row, and while the server wants no request, it rejects all calls, until a probe
//! shows that the server answers again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that open the circuit.
const FAILURE_THRESHOLD: u32 = 5;

/// How long the circuit is open before the first probe; each failed probe doubles it.
const MIN_OPEN_TIME: Duration = Duration::from_secs(5);

/// The longest time between two probes.
const MAX_OPEN_TIME: Duration = Duration::from_secs(60);

/// The delay reported to calls that are rejected while a probe runs, because the time the probe needs is not known.
const RETRY_DURING_PROBE: Duration = Duration::from_secs(1);

/// The circuit. It has no clock: its methods take the current time.
#[derive(Default)]
pub(super) struct CircuitBreaker(Mutex<State>);

#[derive(Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// How often the circuit has opened. A call that was admitted before it opened shows nothing of the server afterwards.
    openings: u64,
    /// `None` while the circuit is closed.
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    /// From the last probe to the next one; before the first probe, half of that.
    duration: Duration,
    next_probe: Instant,
}

/// Permission for one call.
#[derive(Clone, Copy)]
#[must_use]
pub(super) struct Admission {
    openings: u64,
}

/// What a call or a probe shows of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
}

impl State {
    fn open(&mut self, next_probe: Instant) {
        self.openings += 1;
        self.open = Some(Open { duration: MIN_OPEN_TIME, next_probe });
    }
}

impl CircuitBreaker {
    /// Admits a call while the circuit is closed. No call is a probe: clients must not decide whether it closes.
    ///
    /// # Errors
    /// The time until the next attempt is worthwhile.
    pub(super) fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let state = self.0.lock();
        match state.open {
            None => Ok(Admission { openings: state.openings }),
            Some(open) if now < open.next_probe => Err(open.next_probe - now),
            Some(_) => Err(RETRY_DURING_PROBE),
        }
    }

    /// Reports the outcome of a call. Returns the time until the first probe if this opens the circuit.
    pub(super) fn report(&self, admission: Admission, outcome: Outcome, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock();
        if admission.openings != state.openings {
            return None;
        }
        state.failures = if outcome == Outcome::Success { 0 } else { state.failures + 1 };
        if state.failures < FAILURE_THRESHOLD {
            return None;
        }
        state.open(now + MIN_OPEN_TIME);
        Some(MIN_OPEN_TIME)
    }

    /// The server wants no request for so long: not even a probe. Returns whether this opens the circuit.
    pub(super) fn open_for(&self, duration: Duration, now: Instant) -> bool {
        let mut state = self.0.lock();
        let next_probe = now + duration;
        if let Some(open) = &mut state.open {
            open.next_probe = open.next_probe.max(next_probe);
            return false;
        }
        state.open(next_probe);
        true
    }

    /// When to probe; `None` while the circuit is closed.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.0.lock().open.map(|open| open.next_probe)
    }

    /// A probe failed.
    pub(super) fn stay_open(&self, now: Instant) {
        if let Some(open) = &mut self.0.lock().open {
            open.duration = (open.duration * 2).min(MAX_OPEN_TIME);
            open.next_probe = now + open.duration;
        }
    }

    /// A probe succeeded, or there will be none.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        (state.failures, state.open) = (0, None);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn report(breaker: &CircuitBreaker, outcome: Outcome, now: Instant) -> Option<Duration> {
        let admission = breaker.admit(now).ok().unwrap();
        breaker.report(admission, outcome, now)
    }

    fn open(breaker: &CircuitBreaker, now: Instant) {
        for failure in 1..FAILURE_THRESHOLD {
            assert_eq!(report(breaker, Outcome::Failure, now), None, "failure {failure}");
        }
        assert_eq!(report(breaker, Outcome::Failure, now), Some(MIN_OPEN_TIME));
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 1..FAILURE_THRESHOLD {
            assert_eq!(report(&breaker, Outcome::Failure, now), None);
        }
        assert_eq!(report(&breaker, Outcome::Success, now), None);
        open(&breaker, now);
    }

    #[test]
    fn an_open_circuit_admits_no_call_and_each_failed_probe_doubles_its_time_up_to_the_maximum() {
        let (breaker, mut now) = (CircuitBreaker::default(), Instant::now());
        assert_eq!(breaker.next_probe(), None);
        open(&breaker, now);
        for seconds in [5, 10, 20, 40, 60, 60] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(breaker.next_probe(), Some(now + duration), "{seconds} s");
            assert_eq!(breaker.admit(now).err(), Some(duration), "{seconds} s");
            now += duration;
            assert_eq!(breaker.admit(now).err(), Some(RETRY_DURING_PROBE), "during the probe after {seconds} s");
            breaker.stay_open(now);
        }
        breaker.close();
        assert_eq!(breaker.next_probe(), None);
        open(&breaker, now);
    }

    #[test]
    fn a_server_that_wants_no_request_gets_none_for_that_time_and_the_longest_time_counts() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let seconds = Duration::from_secs;
        assert!(breaker.open_for(seconds(60), now));
        assert!(!breaker.open_for(seconds(30), now));
        assert_eq!(breaker.admit(now).err(), Some(seconds(60)));
        assert!(!breaker.open_for(seconds(60), now + seconds(10)));
        assert_eq!(breaker.next_probe(), Some(now + seconds(70)));
        breaker.stay_open(now + seconds(70));
        assert_eq!(breaker.next_probe(), Some(now + seconds(80)), "a failed probe");
        breaker.close();
        assert!(breaker.admit(now).is_ok() && breaker.open_for(seconds(1), now));
    }

    #[test]
    fn calls_admitted_before_the_circuit_opened_change_nothing_afterwards() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let mut earlier = [(); 8].map(|()| breaker.admit(now).ok().unwrap()).into_iter();
        open(&breaker, now);
        assert_eq!(breaker.report(earlier.next().unwrap(), Outcome::Success, now), None);
        assert!(breaker.admit(now).is_err(), "a success of a call does not close the circuit");
        breaker.close();
        for admission in earlier {
            assert_eq!(breaker.report(admission, Outcome::Failure, now), None);
        }
        open(&breaker, now);
    }
}
