//! Tests of the permits: fairness, turns that give way, and that no permit is lost.

use std::thread;
use std::time::Instant;

use super::*;
use crate::peers::{Distinct, PeerKey, Peers};
use crate::session_id::SessionId;
use crate::sync::CancellationToken;
use crate::turns::active_turns::{ActiveTurns, Work};
use crate::turns::event::Failure;

const LONG: Duration = Duration::from_secs(30);

/// No test holds a permit for so long.
const LITTLE: Duration = Duration::from_secs(20);

/// As many as a test has.
const MAX_WAITING: usize = 10_000;

/// Five networks.
fn networks() -> [Option<PeerKey>; 5] {
    let peers = Peers::new(Distinct::All);
    [1, 2, 3, 4, 5].map(|network| peers.key([192, 0, network, 1].into()))
}

/// A turn of a new session.
fn turn(peer: Option<PeerKey>) -> TurnGuard {
    let session = SessionId::random().lookup();
    let client = ClientKey::new(peer, session);
    let guard = ActiveTurns::default().register(session, client, &CancellationToken::default(), Work::Answer(None));
    guard.expect("no other turn of the session")
}

fn is_stopped(turn: &TurnGuard) -> bool {
    turn.cancellation.is_cancelled() && turn.failure() == Some(Failure::Stopped)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

impl FairSemaphore {
    fn try_acquire(&self, turn: &TurnGuard) -> Option<Permit> {
        self.acquire(turn, Duration::ZERO)
    }

    /// Waits until the turn that comes next waits.
    fn wait_for_next(&self, come: u64) {
        eventually("the next turn waits", || self.0.lock().is_waiting(come));
    }

    /// Has the client of a turn use the companion for so long.
    fn charge(&self, turn: &TurnGuard, seconds: u64) {
        self.0.lock().usage.add(turn.client, Duration::from_secs(seconds), Instant::now());
    }

    /// The number of turns that have come.
    fn come(&self) -> u64 {
        self.0.lock().next_number
    }

    fn assert_unused(&self, permits: usize) {
        let state = self.0.lock();
        assert_eq!((state.free_permits, state.turns.len(), state.abandoned), (permits, 0, 0));
        assert_eq!((state.clients.len(), state.queue.len()), (0, 0));
    }
}

/// Has these turns wait, in this order, and returns their numbers in the order in which they got a permit. Each returns its
/// permit at once. `release` begins that.
fn order_of(semaphore: &FairSemaphore, turns: &[TurnGuard], release: impl FnOnce()) -> Vec<usize> {
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (number, turn) in turns.iter().enumerate() {
            let (order, come) = (&order, semaphore.come());
            scope.spawn(move || {
                let permit = semaphore.acquire(turn, LONG);
                assert!(permit.is_some(), "turn {number}");
                order.lock().push(number);
                drop(permit);
            });
            semaphore.wait_for_next(come);
        }
        release();
    });
    order.into_inner()
}

#[test]
fn permits_are_as_many_as_given_and_return_when_dropped() {
    let semaphore = FairSemaphore::new(2, MAX_WAITING, LITTLE);
    let turns = [turn(None), turn(None), turn(None)];
    let permits: Vec<_> = turns.iter().map(|turn| semaphore.try_acquire(turn)).collect();
    assert_eq!(permits.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    drop(permits);
    assert!(semaphore.try_acquire(&turns[2]).is_some());
    semaphore.assert_unused(2);
}

#[test]
fn new_sessions_are_served_in_the_order_of_their_arrival() {
    let (semaphore, first) = (FairSemaphore::new(1, MAX_WAITING, LITTLE), turn(None));
    let permit = semaphore.try_acquire(&first);
    let turns = [(); 5].map(|()| turn(None));
    assert_eq!(order_of(&semaphore, &turns, || drop(permit)), [0, 1, 2, 3, 4]);
}

#[test]
fn a_client_holds_at_most_as_many_permits_as_are_free_so_that_a_newcomer_finds_one() {
    let semaphore = FairSemaphore::new(8, MAX_WAITING, LITTLE);
    let mut held = Vec::new();
    for (peer, expected) in networks().into_iter().zip([4, 2, 1, 1, 0]) {
        let turns = [(); 8].map(|()| turn(peer));
        let permits = turns.iter().filter_map(|turn| semaphore.try_acquire(turn)).collect::<Vec<_>>();
        assert_eq!(permits.len(), expected);
        held.push((turns, permits));
    }
    drop(held);
    semaphore.assert_unused(8);
}

#[test]
fn a_permit_goes_to_the_client_that_holds_the_fewest_however_long_others_wait() {
    let semaphore = FairSemaphore::new(4, MAX_WAITING, LITTLE);
    let [busy, other, ..] = networks();
    let running = [turn(busy), turn(busy), turn(other), turn(None)];
    let mut permits: Vec<_> = running.iter().map(|turn| semaphore.try_acquire(turn).expect("a permit")).collect();
    let waiting = [turn(busy), turn(other), turn(None)];
    let order = order_of(&semaphore, &waiting, || {
        drop(permits.pop());
        eventually("the session without a permit is served", || semaphore.0.lock().turns.len() == 3 + 2);
        drop(permits);
    });
    assert_eq!((order[0], order.len()), (2, 3));
}

#[test]
fn a_permit_goes_to_the_client_that_has_used_the_companion_least_however_long_others_wait() {
    let (semaphore, first) = (FairSemaphore::new(1, MAX_WAITING, LITTLE), turn(None));
    let permit = semaphore.try_acquire(&first);
    // Heavy, heavier, light, heavy, new.
    let turns = [(); 5].map(|()| turn(None));
    for (turn, seconds) in turns.iter().zip([600, 6_000, 10, 100, 0]) {
        semaphore.charge(turn, seconds);
    }
    let order = order_of(&semaphore, &turns, || drop(permit));
    assert_eq!(order, [2, 4, 3, 0, 1]);
    semaphore.assert_unused(1);
}

#[test]
fn a_turn_that_holds_a_permit_uses_the_companion() {
    let little = Duration::from_millis(50);
    let (semaphore, peer) = (FairSemaphore::new(1, MAX_WAITING, little), networks()[0]);
    let (first, second, other) = (turn(peer), turn(peer), turn(None));
    let permit = semaphore.try_acquire(&first);
    // Longer than a little, and than what is forgotten.
    thread::sleep(Duration::from_millis(120));
    assert_eq!(order_of(&semaphore, &[second, other], || drop(permit)), [1, 0]);
}

#[test]
fn a_light_client_that_has_its_share_does_not_keep_a_free_permit_from_a_heavy_one() {
    let semaphore = FairSemaphore::new(2, MAX_WAITING, LITTLE);
    let peer = networks()[0];
    let (light, more, heavy) = (turn(peer), turn(peer), turn(None));
    semaphore.charge(&heavy, 60);
    let permit = semaphore.try_acquire(&light);
    order_of(&semaphore, &[more], || {
        assert!(semaphore.try_acquire(&heavy).is_some());
        drop(permit);
    });
    semaphore.assert_unused(2);
}

#[test]
fn an_eighth_of_the_permits_is_for_clients_that_have_used_the_companion_little() {
    let semaphore = FairSemaphore::new(16, MAX_WAITING, LITTLE);
    let [heavy, light] = [60, 10].map(|seconds| {
        [(); 16].map(|()| {
            let turn = turn(None);
            semaphore.charge(&turn, seconds);
            turn
        })
    });
    let of_heavy: Vec<Permit> = heavy.iter().filter_map(|turn| semaphore.try_acquire(turn)).collect();
    let of_light: Vec<Permit> = light.iter().filter_map(|turn| semaphore.try_acquire(turn)).collect();
    assert_eq!((of_heavy.len(), of_light.len()), (14, 2));
    drop((of_heavy, of_light));
    semaphore.assert_unused(16);
}

#[test]
fn above_the_limit_the_waiting_turn_leaves_whose_client_has_used_the_companion_most() {
    let (semaphore, running) = (FairSemaphore::new(1, 2, LITTLE), turn(None));
    let permit = semaphore.try_acquire(&running);
    let [light, heavy, heavier, newcomer] = [3, 30, 300, 0].map(|seconds| {
        let turn = turn(None);
        semaphore.charge(&turn, seconds);
        turn
    });
    let started = Instant::now();
    thread::scope(|scope| {
        let waiting = [&light, &heavy].map(|turn| {
            let (come, semaphore) = (semaphore.come(), &semaphore);
            let waiting = scope.spawn(move || semaphore.acquire(turn, LONG).is_some());
            semaphore.wait_for_next(come);
            waiting
        });
        assert!(semaphore.acquire(&heavier, LONG).is_none(), "it would be the last");
        let come = semaphore.come();
        let of_newcomer = scope.spawn(|| semaphore.acquire(&newcomer, LONG).is_some());
        semaphore.wait_for_next(come);
        let [of_light, of_heavy] = waiting;
        assert!(!of_heavy.join().expect("no panic"));
        drop(permit);
        assert!(of_light.join().expect("no panic") && of_newcomer.join().expect("no panic"));
    });
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    semaphore.assert_unused(1);
}

#[test]
fn ten_thousand_turns_can_wait() {
    let (semaphore, first) = (FairSemaphore::new(1, MAX_WAITING, LITTLE), turn(None));
    let mut permit = semaphore.try_acquire(&first);
    let turns: Vec<TurnGuard> = (0..MAX_WAITING).map(|_| turn(None)).collect();
    let (wake, woken) = mpsc::channel();
    let started = Instant::now();
    let numbers: Vec<u64> = turns.iter().map(|turn| semaphore.0.lock().add(turn, wake.clone())).collect();
    for number in numbers {
        drop(permit);
        assert!(woken.try_recv().is_ok() && !semaphore.0.lock().is_waiting(number));
        permit = Some(Permit { state: semaphore.0.clone(), number });
    }
    println!("{:?} for each turn", started.elapsed() / MAX_WAITING as u32);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    drop(permit);
    semaphore.assert_unused(1);
}

#[test]
fn a_turn_gets_a_permit_when_the_share_of_its_client_allows_it_also_while_permits_are_free() {
    let semaphore = FairSemaphore::new(2, MAX_WAITING, LITTLE);
    let peer = networks()[0];
    let (first, second) = (turn(peer), turn(peer));
    let permit = semaphore.try_acquire(&first);
    assert!(permit.is_some() && semaphore.try_acquire(&second).is_none(), "half of the permits");
    assert_eq!(order_of(&semaphore, &[second], || drop(permit)), [0]);
    semaphore.assert_unused(2);
}

#[test]
fn a_timeout_or_a_cancellation_ends_the_wait_and_leaves_the_queue() {
    let (semaphore, first, second, third) =
        (FairSemaphore::new(1, MAX_WAITING, LITTLE), turn(None), turn(None), turn(None));
    let permit = semaphore.try_acquire(&first);
    assert!(semaphore.acquire(&second, Duration::from_millis(20)).is_none());
    let started = Instant::now();
    thread::scope(|scope| {
        let come = semaphore.come();
        let waiting = scope.spawn(|| semaphore.acquire(&second, LONG));
        semaphore.wait_for_next(come);
        second.cancellation.cancel();
        assert!(waiting.join().expect("no panic").is_none());
    });
    // A cancelled turn does not begin to wait.
    assert!(semaphore.acquire(&second, LONG).is_none());
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    drop(permit);
    assert!(semaphore.try_acquire(&second).is_none(), "a cancelled turn returns a permit");
    assert!(semaphore.try_acquire(&third).is_some());
    semaphore.assert_unused(1);
}

#[test]
fn an_abandoned_turn_keeps_its_permit_until_another_turn_waits() {
    let (semaphore, other, older, newer) =
        (FairSemaphore::new(3, MAX_WAITING, LITTLE), turn(None), turn(None), turn(None));
    let [_of_other, of_older, _of_newer] = [&other, &older, &newer].map(|turn| semaphore.try_acquire(turn));
    newer.disconnect.cancel();
    older.disconnect.cancel();
    assert!(!is_stopped(&older) && !is_stopped(&newer));
    order_of(&semaphore, &[turn(None)], || {
        eventually("the turn that runs longest gives way", || is_stopped(&older));
        drop(of_older);
    });
    assert!(!is_stopped(&newer) && !is_stopped(&other), "one turn waited");
}

#[test]
fn a_turn_that_is_abandoned_while_others_wait_gives_way_at_once_and_one_whose_client_is_there_never() {
    let (semaphore, running, other) = (FairSemaphore::new(2, MAX_WAITING, LITTLE), turn(None), turn(None));
    let permits = [&running, &other].map(|turn| semaphore.try_acquire(turn).expect("a permit"));
    order_of(&semaphore, &[turn(None)], || {
        assert!(!is_stopped(&running) && !is_stopped(&other));
        running.disconnect.cancel();
        assert!(is_stopped(&running) && !is_stopped(&other));
        // The permit of the first returns soon and is enough for the one that waits.
        other.disconnect.cancel();
        assert!(!is_stopped(&other));
        drop(permits);
    });
}

#[test]
fn an_abandoned_turn_in_the_queue_leaves_it_when_another_waits_and_displaces_none() {
    let (semaphore, running, queued) = (FairSemaphore::new(1, MAX_WAITING, LITTLE), turn(None), turn(None));
    let permit = semaphore.try_acquire(&running);
    running.disconnect.cancel();
    queued.disconnect.cancel();
    thread::scope(|scope| {
        let come = semaphore.come();
        let waiting = scope.spawn(|| semaphore.acquire(&queued, LONG));
        semaphore.wait_for_next(come);
        assert!(!is_stopped(&running) && !is_stopped(&queued), "nobody is there who waits");
        order_of(&semaphore, &[turn(None)], || {
            eventually("both give way", || is_stopped(&running) && is_stopped(&queued));
            drop(permit);
        });
        assert!(waiting.join().expect("no panic").is_none());
    });
    semaphore.assert_unused(1);
}

#[test]
fn while_permits_are_free_only_abandoned_turns_of_the_waiting_client_give_way() {
    let semaphore = FairSemaphore::new(4, MAX_WAITING, LITTLE);
    let [peer, other, ..] = networks();
    let (bystander, own, second) = (turn(other), turn(peer), turn(peer));
    let [of_bystander, of_own, of_second] = [&bystander, &own, &second].map(|turn| semaphore.try_acquire(turn));
    assert!(of_bystander.is_some() && of_own.is_some() && of_second.is_some());
    bystander.disconnect.cancel();
    order_of(&semaphore, &[turn(peer)], || {
        own.disconnect.cancel();
        assert!(is_stopped(&own));
        drop(of_own);
    });
    assert!(!is_stopped(&bystander) && !is_stopped(&second));
}

#[test]
fn of_the_abandoned_turns_that_of_the_client_with_the_most_permits_gives_way() {
    let semaphore = FairSemaphore::new(4, MAX_WAITING, LITTLE);
    let [peer, ..] = networks();
    let (older, own) = (turn(None), [turn(peer), turn(peer)]);
    let filler = turn(None);
    let permits = [&older, &own[0], &own[1], &filler].map(|turn| semaphore.try_acquire(turn));
    assert!(permits.iter().all(Option::is_some));
    [&older, &own[0], &own[1]].into_iter().for_each(|turn| turn.disconnect.cancel());
    order_of(&semaphore, &[turn(None)], || {
        eventually("one of two gives way", || is_stopped(&own[0]));
        drop(permits);
    });
    assert!(!is_stopped(&older) && !is_stopped(&own[1]));
}

#[test]
fn no_permit_is_lost_when_grants_race_with_timeouts_cancellations_and_disconnects() {
    let semaphore = FairSemaphore::new(2, MAX_WAITING, LITTLE);
    let networks = networks();
    thread::scope(|scope| {
        for number in 0..4 {
            let semaphore = &semaphore;
            scope.spawn(move || {
                for round in 0..500 {
                    let turn = turn(networks.get((number + round) % 8).copied().flatten());
                    if (number + round) % 3 == 0 {
                        turn.cancellation.cancel();
                    }
                    let permit = semaphore.acquire(&turn, Duration::from_micros(round as u64 % 7 * 10));
                    if (number + round) % 5 == 0 {
                        turn.disconnect.cancel();
                    }
                    drop(permit);
                }
            });
        }
    });
    semaphore.assert_unused(2);
}
