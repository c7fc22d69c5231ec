//! Two services on one database, as while one takes over from the other.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::model::{Model, says_at};
use crate::support::server::Gate;
use crate::support::talk::Talk;

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_session_that_another_service_erases_stays_erased() {
    let (model, schema) = (Model::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    for is_streamed in [false, true] {
        let gate = Arc::new(Gate::default());
        model.next(says_at(&gate, "half ", "an answer"));
        let talk = Talk::new(&one);
        let asked = model.asked().len();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| talk.say_until_erased(is_streamed));
            model.wait_until_asked(asked + 1);
            Talk::with(&other.client, &talk.id).erase().assert_status(204);
            gate.open();
            waiting.join().unwrap();
        });
        talk.say_as("key", "hello").assert_problem(404);
        let rows = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM messages)";
        assert_eq!(schema.client().query_one(rows, &[]).unwrap().get::<_, i64>(0), 0);
    }
}

#[test]
fn a_turn_at_each_of_two_services_loses_no_word_and_changes_no_order() {
    let (model, schema) = (Model::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    let (first, second) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    model.next(says_at(&first, "", "the first answer"));
    model.next(says_at(&second, "", "the second answer"));
    let talk = Talk::new(&one);
    let elsewhere = Talk::with(&other.client, &talk.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| talk.say_as("one", "the first question"));
        model.wait_until_asked(1);
        let asking_elsewhere = scope.spawn(|| elsewhere.say_as("other", "the second question"));
        model.wait_until_asked(2);
        second.open();
        let later = asking_elsewhere.join().unwrap().assert_status(200).json();
        assert_eq!(later["content"], "the second answer");
        first.open();
        let earlier = asking.join().unwrap().assert_status(200).json();
        assert_eq!(earlier["content"], "the first answer");
    });
    let said = [
        "user: the first question",
        "user: the second question",
        "model: the second answer",
        "model: the first answer",
    ];
    assert_eq!((talk.said(), elsewhere.said()), (said.map(str::to_owned).to_vec(), talk.said()));
}

#[test]
fn one_key_at_two_services_at_once_is_one_answer() {
    let (model, schema) = (Model::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "", "an answer"));
    model.next(says_at(&gate, "", "another answer"));
    let talk = Talk::new(&one);
    let elsewhere = Talk::with(&other.client, &talk.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| talk.say_as("key", "hello"));
        eventually(PATIENCE, || (model.asked().len() == 1).then_some(()));
        let asking_elsewhere = scope.spawn(|| elsewhere.say_as("key", "hello"));
        // The other service cannot know that a turn runs; whoever is first has the answer.
        model.wait_until_asked(2);
        gate.open();
        let answers = [asking, asking_elsewhere].map(|asking| asking.join().unwrap().assert_status(200).json());
        assert_eq!(answers[0], answers[1]);
    });
    assert_eq!(talk.said().len(), 2);
}
