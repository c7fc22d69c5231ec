//! What callbacks begin, and callbacks that panic.

use super::*;

#[test]
fn what_callbacks_begin_shares_a_batch_and_one_that_panics_takes_no_other_with_it() {
    let (reads, writes) = (Fixture::new(POLICY, 1), Fixture::new(POLICY, 1));
    let leaders = Arc::new(leaders("test", 1));
    let blocked = reads.block([0]);
    let (sender, outcomes) = mpsc::channel();
    let callers: Vec<_> = (1..20)
        .map(|number| {
            let (reads, writes) = (reads.batcher.clone(), writes.batcher.clone());
            let (leaders, sender) = (leaders.clone(), sender.clone());
            let callback = move |result: Result<i32, Error>| {
                assert_ne!(number, 7, "as requested");
                let answer: Callback<i32> = Box::new(move |result| _ = sender.send((number, result)));
                writes.run_from_callback(&leaders, result.unwrap(), answer);
            };
            thread::spawn(move || reads.run(number, Box::new(callback)))
        })
        .collect();
    eventually(|| reads.batcher.state.lock().queue.front().is_some_and(|batch| batch.len() == 19));
    reads.unblock();
    assert_doubled([0], &blocked);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    drop(sender);
    let answers: BTreeSet<_> = outcomes.iter().map(|(number, result)| (number, result.unwrap())).collect();
    assert_eq!(answers, (1..20).filter(|number| *number != 7).map(|number| (number, number * 4)).collect());
    assert_eq!((reads.batch_sizes(), writes.batch_sizes()), (vec![1, 19], vec![18]));
}

#[test]
fn a_thread_leads_what_its_callback_begins_only_where_no_other_batch_runs() {
    let (reads, writes) = (Fixture::new(POLICY, 1), Fixture::new(POLICY, 1));
    let leaders = Arc::new(leaders("test", 1));
    let begin = |number| {
        let (writes, leaders, (sender, outcome)) = (writes.batcher.clone(), leaders.clone(), mpsc::channel());
        let callback = move |result: Result<i32, Error>| {
            writes.run_from_callback(&leaders, result.unwrap(), Box::new(move |result| _ = sender.send(result)));
        };
        reads.batcher.run(number, Box::new(callback));
        outcome
    };
    assert_eq!(begin(1).try_recv(), Ok(Ok(4)));
    let blocked = writes.block([0]);
    // This thread does not wait for the batch that is blocked.
    let outcome = begin(2);
    writes.unblock();
    assert_doubled([0], &blocked);
    assert_eq!(result(&outcome), Ok(8));
}

#[test]
fn what_a_callback_has_begun_before_it_panics_is_executed() {
    let (reads, writes) = (Fixture::new(POLICY, 1), Fixture::new(POLICY, 1));
    let (sender, outcome) = mpsc::channel();
    let batcher = writes.batcher.clone();
    let callback = move |result: Result<i32, Error>| {
        let leaders = Arc::new(leaders("test", 1));
        batcher.run_from_callback(&leaders, result.unwrap(), Box::new(move |result| _ = sender.send(result)));
        panic!("as requested");
    };
    reads.batcher.run(1, Box::new(callback));
    assert_eq!(outcome.try_recv(), Ok(Ok(4)));
    writes.assert_stored([2]);
}
