//! The order of the lanes, and their bounds.

use std::net::IpAddr;

use super::*;
use crate::peers::{Distinct, Peers};

fn pop_all(queue: &mut RunQueue) -> Vec<(usize, Lane)> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn each_lane_has_its_turn_and_the_others_take_those_of_an_empty_one() {
    let mut queue = RunQueue::new(10);
    for key in 0..2 {
        TURNS.into_iter().rev().for_each(|lane| queue.push(key, lane, None));
    }
    let expected: Vec<_> = (0..2).flat_map(|key| TURNS.map(|lane| (key, lane))).collect();
    assert_eq!(pop_all(&mut queue), expected);
    (0..10).for_each(|key| queue.push(key, Lane::Pipelined, None));
    (0..10).for_each(|key| queue.push(key, Lane::New, None));
    let order = pop_all(&mut queue);
    let pipelined = |taken: &[(usize, Lane)]| taken.iter().filter(|(_, lane)| *lane == Lane::Pipelined).count();
    assert_eq!(pipelined(&order[..10]), 2);
    assert_eq!(order.len(), 20);
}

#[test]
fn pipelined_and_urgent_requests_take_no_room_of_new_ones() {
    let mut queue = RunQueue::new(3);
    (0..100).for_each(|key| queue.push(key, Lane::Pipelined, None));
    (100..200).for_each(|key| queue.push(key, Lane::Urgent, None));
    for key in 200..203 {
        assert!(queue.has_room(None));
        queue.push(key, Lane::New, None);
    }
    assert!(!queue.has_room(None));
    queue.leave(Lane::New, None);
    assert!(queue.has_room(None));
}

#[test]
fn requests_are_not_examined_while_free_workers_take_all_of_them_but_a_few() {
    for (free_workers, queued) in [(0, 16), (1, 20), (16, 80), (50, 100)] {
        let mut queue = RunQueue::new(100);
        (0..queued - 1).for_each(|key| queue.push(key, Lane::New, None));
        assert!(queue.is_short(free_workers), "{free_workers}");
        queue.push(queued, Lane::New, None);
        assert!(!queue.is_short(free_workers), "{free_workers}");
    }
}

#[test]
fn from_half_of_the_new_requests_on_a_peer_may_have_an_eighth() {
    let peers = Peers::new(Distinct::All);
    let [one, other] = [1, 2].map(|net| peers.key(IpAddr::from([10, 0, net, 1])));
    let mut queue = RunQueue::new(16);
    for key in 0..8 {
        assert!(queue.has_room(one));
        queue.push(key, Lane::New, one);
    }
    assert!(!queue.has_room(one));
    for key in 8..10 {
        assert!(queue.has_room(other));
        queue.push(key, Lane::New, other);
    }
    assert!(!queue.has_room(other));
    assert!(queue.has_room(None));
    (0..2).for_each(|_| queue.leave(Lane::New, other));
    assert!(queue.has_room(other));
    (0..8).for_each(|_| queue.leave(Lane::New, one));
    assert!(queue.peers.is_empty());
}
