//! A circuit breaker: after failures in a row a probe finds out whether they were the server's, and while the server does not
//! answer probes, or wants no request, it rejects all calls.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row after which the server is probed.
const FAILURE_THRESHOLD: u32 = 5;

/// How long the circuit is open after the first failed probe; each further one doubles it.
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
    phase: Phase,
    /// Failures since the last success.
    failures: u32,
    /// How often the circuit has left its closed phase, or the server has asked for a delay. What began before shows nothing of
    /// the server afterwards.
    changes: u64,
    /// Whether a thread probes the server. It ends when the circuit is closed.
    is_probed: bool,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    /// Calls failed, perhaps for what is in them, so they are admitted until a probe has failed too: the messages of one person
    /// must not block the model for all others.
    Suspected,
    Open(Open),
}

#[derive(Clone, Copy)]
struct Open {
    /// From the last probe to the next one.
    duration: Duration,
    next_probe: Instant,
}

/// Permission for one call or probe.
#[derive(Clone, Copy)]
#[must_use]
pub(super) struct Admission {
    changes: u64,
}

/// What a call or a probe shows of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
}

impl CircuitBreaker {
    /// Admits a call unless the circuit is open. No call is a probe: clients must not decide whether it closes.
    ///
    /// # Errors
    /// The time until the next attempt is worthwhile.
    pub(super) fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let state = self.0.lock();
        match state.phase {
            Phase::Closed | Phase::Suspected => Ok(Admission { changes: state.changes }),
            Phase::Open(open) if now < open.next_probe => Err(open.next_probe - now),
            Phase::Open(_) => Err(RETRY_DURING_PROBE),
        }
    }

    /// Reports the outcome of a call.
    pub(super) fn report(&self, admission: Admission, outcome: Outcome) {
        let mut state = self.0.lock();
        if admission.changes != state.changes || !matches!(state.phase, Phase::Closed) {
            return;
        }
        state.failures = if outcome == Outcome::Success { 0 } else { state.failures + 1 };
        if state.failures >= FAILURE_THRESHOLD {
            state.changes += 1;
            state.phase = Phase::Suspected;
        }
    }

    /// The server wants no request for so long: not even a probe. Returns whether this opens the circuit.
    pub(super) fn open_for(&self, duration: Duration, now: Instant) -> bool {
        let mut state = self.0.lock();
        let next_probe = now + duration;
        state.changes += 1;
        if let Phase::Open(open) = &mut state.phase {
            open.next_probe = open.next_probe.max(next_probe);
            return false;
        }
        state.phase = Phase::Open(Open { duration: MIN_OPEN_TIME, next_probe });
        true
    }

    /// Whether the server wants no request now.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        matches!(self.0.lock().phase, Phase::Open(open) if now < open.next_probe)
    }

    /// Whether a thread has to begin to probe.
    pub(super) fn begin_probes(&self) -> bool {
        let mut state = self.0.lock();
        let begins = !state.is_probed && !matches!(state.phase, Phase::Closed);
        state.is_probed |= begins;
        begins
    }

    /// How long the probing thread has to wait before its next probe, and its permission for it; `None` if the circuit is closed
    /// and the thread has to end.
    pub(super) fn next_probe(&self, now: Instant) -> Option<(Duration, Admission)> {
        let mut state = self.0.lock();
        let wait = match state.phase {
            Phase::Closed => None,
            Phase::Suspected => Some(Duration::ZERO),
            Phase::Open(open) => Some(open.next_probe.saturating_duration_since(now)),
        };
        state.is_probed = wait.is_some();
        wait.map(|wait| (wait, Admission { changes: state.changes }))
    }

    /// A probe failed. Returns for how long this opens the circuit, if it was not open.
    pub(super) fn probe_failed(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock();
        match &mut state.phase {
            Phase::Closed => None,
            Phase::Suspected => {
                state.phase = Phase::Open(Open { duration: MIN_OPEN_TIME, next_probe: now + MIN_OPEN_TIME });
                Some(MIN_OPEN_TIME)
            }
            Phase::Open(open) => {
                open.duration = (open.duration * 2).min(MAX_OPEN_TIME);
                // The server may have asked for a longer time meanwhile.
                open.next_probe = open.next_probe.max(now + open.duration);
                None
            }
        }
    }

    /// A probe succeeded. It shows nothing if the server has asked for a delay since it began. Returns whether this closes an
    /// open circuit.
    pub(super) fn probe_succeeded(&self, admission: Admission) -> bool {
        let mut state = self.0.lock();
        if admission.changes != state.changes {
            return false;
        }
        let was_open = matches!(state.phase, Phase::Open(_));
        (state.failures, state.phase) = (0, Phase::Closed);
        was_open
    }

    /// There will be no probes.
    pub(super) fn give_up_probing(&self) {
        let mut state = self.0.lock();
        (state.failures, state.phase, state.is_probed) = (0, Phase::Closed, false);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn report(breaker: &CircuitBreaker, outcome: Outcome, now: Instant) {
        breaker.report(breaker.admit(now).ok().unwrap(), outcome);
    }

    /// Failures until a probe is needed.
    fn suspect(breaker: &CircuitBreaker, now: Instant) {
        for failure in 1..=FAILURE_THRESHOLD {
            assert!(!breaker.begin_probes(), "before failure {failure}");
            report(breaker, Outcome::Failure, now);
        }
        assert!(breaker.begin_probes() && !breaker.begin_probes(), "one thread probes");
    }

    fn wait(breaker: &CircuitBreaker, now: Instant) -> Option<Duration> {
        breaker.next_probe(now).map(|(wait, _)| wait)
    }

    fn succeed(breaker: &CircuitBreaker, now: Instant) -> bool {
        let (_, admission) = breaker.next_probe(now).unwrap();
        breaker.probe_succeeded(admission)
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 1..FAILURE_THRESHOLD {
            report(&breaker, Outcome::Failure, now);
        }
        report(&breaker, Outcome::Success, now);
        suspect(&breaker, now);
    }

    #[test]
    fn calls_are_admitted_until_a_probe_has_failed_too() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 0..3 {
            suspect(&breaker, now);
            assert_eq!(wait(&breaker, now), Some(Duration::ZERO));
            report(&breaker, Outcome::Failure, now);
            assert!(breaker.admit(now).is_ok());
            assert!(!succeed(&breaker, now), "it was not open");
            assert_eq!(wait(&breaker, now), None);
        }
        suspect(&breaker, now);
        assert_eq!(breaker.probe_failed(now), Some(MIN_OPEN_TIME));
        assert_eq!(breaker.admit(now).err(), Some(MIN_OPEN_TIME));
    }

    #[test]
    fn an_open_circuit_admits_no_call_and_each_failed_probe_doubles_its_time_up_to_the_maximum() {
        let (breaker, mut now) = (CircuitBreaker::default(), Instant::now());
        suspect(&breaker, now);
        assert_eq!(breaker.probe_failed(now), Some(MIN_OPEN_TIME));
        for seconds in [5, 10, 20, 40, 60, 60] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(wait(&breaker, now), Some(duration), "{seconds} s");
            assert!(breaker.is_waiting(now));
            assert_eq!(breaker.admit(now).err(), Some(duration), "{seconds} s");
            now += duration;
            assert!(!breaker.is_waiting(now));
            assert_eq!(breaker.admit(now).err(), Some(RETRY_DURING_PROBE), "during the probe after {seconds} s");
            assert_eq!(breaker.probe_failed(now), None);
        }
        assert!(succeed(&breaker, now));
        assert_eq!(wait(&breaker, now), None);
        suspect(&breaker, now);
    }

    #[test]
    fn a_server_that_wants_no_request_gets_none_for_that_time_and_the_longest_time_counts() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let seconds = Duration::from_secs;
        assert!(breaker.open_for(seconds(60), now) && breaker.begin_probes());
        assert!(!breaker.open_for(seconds(30), now) && !breaker.begin_probes());
        assert_eq!(breaker.admit(now).err(), Some(seconds(60)));
        assert!(!breaker.open_for(seconds(60), now + seconds(10)));
        assert_eq!(wait(&breaker, now), Some(seconds(70)));
        breaker.probe_failed(now + seconds(70));
        assert_eq!(wait(&breaker, now), Some(seconds(80)), "a failed probe");
        assert!(succeed(&breaker, now));
        assert!(breaker.admit(now).is_ok() && breaker.open_for(seconds(1), now));
    }

    #[test]
    fn neither_outcome_of_a_probe_shortens_what_the_server_has_asked_for_meanwhile() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let seconds = Duration::from_secs;
        suspect(&breaker, now);
        let (_, admission) = breaker.next_probe(now).unwrap();
        assert!(breaker.open_for(seconds(40), now));
        assert!(!breaker.probe_succeeded(admission));
        assert_eq!(breaker.admit(now).err(), Some(seconds(40)));
        breaker.probe_failed(now);
        assert_eq!(breaker.admit(now).err(), Some(seconds(40)));
    }

    #[test]
    fn calls_admitted_before_the_circuit_opened_change_nothing_afterwards() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let mut earlier = [(); 8].map(|()| breaker.admit(now).ok().unwrap()).into_iter();
        suspect(&breaker, now);
        breaker.probe_failed(now);
        breaker.report(earlier.next().unwrap(), Outcome::Success);
        assert!(breaker.admit(now).is_err(), "a success of a call does not close the circuit");
        assert!(succeed(&breaker, now) && wait(&breaker, now).is_none());
        for admission in earlier {
            breaker.report(admission, Outcome::Failure);
        }
        suspect(&breaker, now);
    }
}
