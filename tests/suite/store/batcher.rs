//! Statements that are shared by those who wait at the same time.

use std::thread;
use std::time::{Duration, Instant};

use safespace::store::Error;
use safespace::store::batch::Sharing;

use crate::support::batcher::{PANICKING, Shared, outcome};

const SHARING: Sharing =
    Sharing { most_running: 1, most_items: 256, most_wait: Duration::from_secs(20), items_differ: true };

#[test]
fn who_comes_alone_goes_at_once() {
    let shared = Shared::new(SHARING, 1);
    for number in 0..5 {
        let started = Instant::now();
        // On the thread that asks: it is told before it has returned.
        assert_eq!(shared.ask(number).try_recv(), Ok(Ok(number * 2)));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    assert_eq!(shared.sizes(), [1; 5]);
}

#[test]
fn those_who_come_while_a_batch_runs_share_the_next_and_each_has_its_own_answer() {
    let shared = Shared::new(SHARING, 2);
    let gate = shared.hold();
    let first = shared.ask_aside(0);
    shared.wait_until_running(1);
    let others = shared.pile_up(1..60, 1);
    gate.open();
    assert_eq!(outcome(&first), Ok(0));
    for (number, told) in (1..60).zip(&others) {
        assert_eq!(outcome(told), Ok(number * 2));
    }
    assert_eq!(shared.sizes(), [1, 59]);
    assert_eq!(shared.stored(), (0..60).collect::<Vec<_>>());
}

#[test]
fn no_more_batches_run_at_once_than_may() {
    let shared = Shared::new(Sharing { most_running: 2, ..SHARING }, 4);
    let gate = shared.hold();
    let mut told = Vec::new();
    for number in 0..2 {
        told.push(shared.ask_aside(number));
        shared.wait_until_running(number as usize + 1);
    }
    told.extend(shared.pile_up(2..30, 1));
    assert_eq!(shared.running(), 2);
    gate.open();
    for (number, told) in (0..30).zip(&told) {
        assert_eq!(outcome(told), Ok(number * 2));
    }
    assert_eq!((shared.sizes(), shared.most_running()), (vec![1, 1, 28], 2));
}

#[test]
fn no_batch_has_more_items_than_may_share_it_and_the_oldest_runs_first() {
    let shared = Shared::new(Sharing { most_items: 8, ..SHARING }, 2);
    let gate = shared.hold();
    let mut told = vec![shared.ask_aside(0)];
    shared.wait_until_running(1);
    told.extend(shared.pile_up(1..31, 4));
    gate.open();
    for (number, told) in (0..31).zip(&told) {
        assert_eq!(outcome(told), Ok(number * 2));
    }
    assert_eq!(shared.sizes(), [1, 8, 8, 8, 6]);
}

#[test]
fn an_item_that_postgresql_refuses_harms_no_other() {
    let shared = Shared::new(SHARING, 2);
    assert_eq!(outcome(&shared.ask(13)), Ok(26));
    let gate = shared.hold();
    let first = shared.ask_aside(100);
    shared.wait_until_running(1);
    let others = shared.pile_up(0..20, 1);
    gate.open();
    assert_eq!(outcome(&first), Ok(200));
    for (number, told) in (0..20).zip(&others) {
        let refused = Err(Error::Refused("SQLSTATE 23505".to_owned()));
        assert_eq!(outcome(told), if number == 13 { refused } else { Ok(number * 2) });
    }
    assert_eq!(shared.stored(), (0..20).chain([100]).collect::<Vec<_>>());
    let alone = [1; 20];
    assert_eq!(shared.sizes(), [&[1, 1, 20], alone.as_slice()].concat());
}

#[test]
fn a_statement_that_panics_leaves_nobody_waiting_and_spoils_nothing() {
    let shared = Shared::new(SHARING, 2);
    // More often than there are connections.
    for round in 0..4 {
        let gate = shared.hold();
        let first = shared.ask_aside(round);
        shared.wait_until_running(1);
        let others = shared.pile_up((1..10).map(|number| round * 100 + number + 10).chain([PANICKING]), 1);
        gate.open();
        assert_eq!(outcome(&first), Ok(round * 2));
        for told in &others {
            assert_eq!(outcome(told), Err(Error::Refused("the statement panicked".to_owned())));
        }
        assert_eq!(shared.sizes(), [1, 10]);
    }
    assert_eq!(outcome(&shared.ask(50)), Ok(100));
    assert_eq!(shared.stored(), [0, 1, 2, 3, 50]);
}

#[test]
fn a_batch_that_gets_no_turn_in_time_is_told_so_and_those_after_it_hardly_wait() {
    let most_wait = Duration::from_secs(1);
    let shared = Shared::new(Sharing { most_wait, ..SHARING }, 2);
    for round in [0, 100] {
        let gate = shared.hold();
        let running = shared.ask_aside(round);
        shared.wait_until_running(1);
        let started = Instant::now();
        let others = shared.pile_up((1..10).map(|number| round + number), 1);
        for told in &others {
            assert_eq!(outcome(told), Err(Error::Unavailable));
        }
        let took = started.elapsed();
        assert!(took > most_wait.mul_f32(0.9) && took < most_wait + Duration::from_secs(3), "{took:?}");
        let started = Instant::now();
        for number in 10..20 {
            assert_eq!(outcome(&shared.ask(round + number)), Err(Error::Unavailable));
        }
        let took = started.elapsed();
        assert!(took < most_wait, "ten in a row took {took:?}");
        // What blocked it has passed: who comes now goes at once, and others wait for their turn again.
        gate.open();
        assert_eq!(outcome(&running), Ok(round * 2));
        assert_eq!(outcome(&shared.ask(round + 20)), Ok((round + 20) * 2));
    }
    assert_eq!(shared.stored(), [0, 20, 100, 120]);
}

#[test]
fn a_batch_that_gets_no_connection_in_time_is_told_so() {
    let most_wait = Duration::from_millis(500);
    let shared = Shared::new(Sharing { most_running: 2, most_wait, ..SHARING }, 1);
    let held = shared.database.connection_within(most_wait).unwrap();
    let started = Instant::now();
    // Two lead, for two may run at once, and whoever comes then waits with one of them.
    let told: Vec<_> = (0..10).map(|number| shared.ask_aside(number)).collect();
    for told in &told {
        assert_eq!(outcome(told), Err(Error::Unavailable));
    }
    assert!(started.elapsed() < most_wait + Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(shared.sizes().is_empty(), "nothing ran");
    drop(held);
    assert_eq!(outcome(&shared.ask(10)), Ok(20));
}

#[test]
fn a_crowd_that_asks_again_and_again_needs_few_statements_and_nobody_is_forgotten() {
    let shared = Shared::new(Sharing { most_running: 2, most_items: 16, ..SHARING }, 2);
    thread::scope(|scope| {
        for client in 0..32 {
            let shared = &shared;
            scope.spawn(move || {
                for number in (client * 100)..(client * 100 + 50) {
                    assert_eq!(outcome(&shared.ask(number)), Ok(number * 2));
                }
            });
        }
    });
    let sizes = shared.sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 1600);
    assert!(sizes.len() < 1000, "{} statements for 1600 items", sizes.len());
    assert!(sizes.iter().all(|size| *size <= 16), "{sizes:?}");
    assert!(shared.most_running() <= 2);
    assert_eq!(shared.stored().len(), 1600);
}
