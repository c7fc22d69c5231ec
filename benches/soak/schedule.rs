//! The schedule: samples, kills and restarts, and a line of progress each minute.

use std::time::{Duration, Instant};

use crate::arguments::Times;
use crate::samples::Sample;
use crate::service::Service;
use crate::shared::{Shared, Victim};
use crate::support::outcome::Outcome;
use crate::support::stop::StopSignal;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(100);

/// No kill comes in the last seconds, so that the end finds everything running.
const CALM: Duration = Duration::from_secs(20);

pub(crate) struct Schedule<'a> {
    times: Times,
    shared: &'a Shared,
    samples: Vec<Sample>,
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(times: Times, shared: &'a Shared) -> Schedule<'a> {
        Schedule { times, shared, samples: Vec::new() }
    }

    /// Runs until the load is over, and returns the samples.
    pub(crate) fn run(mut self, service: &mut Service, stop: &StopSignal) -> Outcome<Vec<Sample>> {
        let began = self.shared.started;
        let (end, last_kill) = (began + self.times.load, began + self.times.load.saturating_sub(CALM));
        let mut postgres_kill = began + self.times.postgres_kills / 2;
        let mut service_kill = began + self.times.service_kills;
        let (mut next_sample, mut next_progress) = (began + SAMPLE_INTERVAL, began + PROGRESS_INTERVAL);
        let mut is_backend = false;
        while self.shared.wait_until(Instant::now() + TICK) {
            stop.check()?;
            let now = Instant::now();
            if now >= end {
                break;
            }
            if now >= next_sample {
                next_sample = now + SAMPLE_INTERVAL;
                self.samples.push(Sample::take(service, self.minute(), self.shared.tallies.sums()));
            }
            if now >= next_progress {
                next_progress += PROGRESS_INTERVAL;
                self.print_progress();
            }
            if now >= postgres_kill && now < last_kill {
                postgres_kill += self.times.postgres_kills;
                self.shared.note_kill(if is_backend { Victim::Backend } else { Victim::Postmaster });
                service.kill_postgres(is_backend)?;
                is_backend = !is_backend;
            }
            if now >= service_kill && now < last_kill {
                service_kill += self.times.service_kills;
                self.shared.note_kill(Victim::Service);
                service.kill()?;
                service.companion = service.companion.other();
                service.start(stop)?;
            }
        }
        Ok(self.samples)
    }

    fn minute(&self) -> f64 {
        self.shared.started.elapsed().as_secs_f64() / 60.0
    }

    fn print_progress(&self) {
        let [answered, refused, lost] = self.shared.tallies.sums();
        let [resting, erased] = self.shared.people.counts();
        let memory = self.samples.last().map_or(f64::NAN, |sample| sample.values[0]);
        eprintln!(
            "minute {:.0} of {}: {answered} requests of people answered, {refused} refused, {lost} without an answer; {resting} sessions, \
             {erased} erased; {memory:.0} MiB; {} kills; {} faults",
            self.minute(),
            self.times.load.as_secs() / 60,
            self.shared.kills().len(),
            self.shared.promises.faults()
        );
    }
}
