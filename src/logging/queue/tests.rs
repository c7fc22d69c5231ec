//! The queue in front of a sink that blocks, fails or panics.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

/// What a sink does with one write.
enum Behaviour {
    Take,
    Fail,
    Panic,
}

/// Reports each write when it begins, and waits for its behaviour; takes everything once the sender is gone.
struct Sink {
    begun: Sender<String>,
    behaviour: Receiver<Behaviour>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.send(String::from_utf8_lossy(bytes).into_owned());
        match self.behaviour.recv().unwrap_or(Behaviour::Take) {
            Behaviour::Take => Ok(bytes.len()),
            Behaviour::Fail => Err(ErrorKind::BrokenPipe.into()),
            Behaviour::Panic => panic!("the sink panics"),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> (Arc<Queue>, Receiver<String>, Sender<Behaviour>) {
    let (queue, (begun, writes), (control, behaviour)) = (Arc::<Queue>::default(), mpsc::channel(), mpsc::channel());
    let writer = queue.clone();
    thread::spawn(move || {
        writer.write_to(&mut Sink { begun, behaviour }, &|dropped| format!("{dropped} dropped\n"));
    });
    (queue, writes, control)
}

#[track_caller]
fn next(writes: &Receiver<String>) -> String {
    writes.recv_timeout(LONG).expect("a write")
}

#[test]
fn lines_pushed_during_a_write_share_the_next_one_in_order() {
    let (queue, writes, control) = start();
    queue.push("1\n");
    assert_eq!(next(&writes), "1\n");
    ["2\n", "3\n", "4\n"].into_iter().for_each(|line| queue.push(line));
    control.send(Behaviour::Take).expect("a writer");
    assert_eq!(next(&writes), "2\n3\n4\n");
    drop(control);
    assert!(queue.close(LONG));
    assert_eq!(queue.dropped_lines(), 0);
}

#[test]
fn closing_writes_what_is_queued_and_drops_later_lines() {
    let (queue, writes, control) = start();
    drop(control);
    (0..100).for_each(|number| queue.push(&format!("{number}\n")));
    assert!(queue.close(LONG));
    queue.push("late\n");
    assert_eq!(queue.dropped_lines(), 1);
    let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
    assert_eq!(writes.iter().collect::<String>(), expected);
}

#[test]
fn a_full_queue_drops_lines_and_reports_their_number_in_their_position() {
    let (queue, writes, control) = start();
    queue.push("first\n");
    assert_eq!(next(&writes), "first\n");
    let line = format!("{}\n", "x".repeat(MAX_WRITE_BYTES - 1));
    let fitting = MAX_QUEUED_BYTES / MAX_WRITE_BYTES;
    (0..fitting + 3).for_each(|_| queue.push(&line));
    queue.push("short enough, and dropped to keep the order\n");
    assert_eq!(queue.dropped_lines(), 4);
    control.send(Behaviour::Take).expect("a writer");
    for _ in 0..fitting {
        assert!(next(&writes) == line);
        queue.push("after\n");
        control.send(Behaviour::Take).expect("a writer");
    }
    assert_eq!(next(&writes), "4 dropped\n");
    drop(control);
    assert_eq!(next(&writes), "after\n".repeat(fitting));
    assert!(queue.close(LONG));
    assert_eq!(queue.dropped_lines(), 4);
}

#[test]
fn a_line_above_the_bound_is_dropped_and_reported() {
    let (queue, writes, control) = start();
    drop(control);
    queue.push(&format!("{}\n", "x".repeat(MAX_QUEUED_BYTES)));
    assert_eq!(next(&writes), "1 dropped\n");
    queue.push("next\n");
    assert_eq!(next(&writes), "next\n");
    assert!(queue.close(LONG));
}

#[test]
fn writes_are_whole_lines_up_to_the_size_that_a_pipe_takes_at_once() {
    let lines = |lengths: &[usize]| -> String {
        lengths.iter().map(|length| format!("{}\n", "x".repeat(length - 1))).collect()
    };
    let cases: [(&[usize], &[usize]); 5] = [
        (&[4096], &[4096]),
        (&[4095, 2], &[4095, 2]),
        (&[2048, 2048, 1], &[4096, 1]),
        (&[100, 5000, 100, 100], &[100, 5000, 200]),
        (&[10_000], &[10_000]),
    ];
    for (lengths, expected) in cases {
        let ((begun, writes), (_, behaviour)) = (mpsc::channel(), mpsc::channel());
        let text = lines(lengths);
        assert_eq!(write_lines(&mut Sink { begun, behaviour }, text.as_bytes()), text.len(), "{lengths:?}");
        let sizes: Vec<usize> = writes.iter().map(|write| write.len()).collect();
        assert_eq!(sizes, expected, "{lengths:?}");
    }
}

#[test]
fn lines_that_the_sink_refuses_are_counted_and_reported_with_the_next_that_it_takes() {
    for (name, failure) in [("error", Behaviour::Fail), ("panic", Behaviour::Panic)] {
        let (queue, writes, control) = start();
        queue.push("lost\n");
        control.send(failure).expect("a writer");
        assert_eq!(next(&writes), "lost\n", "{name}");
        queue.flush(LONG);
        assert_eq!(queue.dropped_lines(), 1, "{name}");
        queue.push("next\n");
        control.send(Behaviour::Take).expect("a writer");
        assert_eq!(next(&writes), "next\n1 dropped\n", "{name}");
        drop(control);
        assert!(queue.close(LONG), "{name}");
    }
}

#[test]
fn flush_and_close_give_up_on_a_sink_that_blocks() {
    let (queue, writes, control) = start();
    queue.push("1\n");
    assert_eq!(next(&writes), "1\n");
    let started = Instant::now();
    queue.flush(SHORT);
    assert!(!queue.close(SHORT));
    assert!(started.elapsed() >= 2 * SHORT);
    drop(control);
    assert!(queue.close(LONG));
}
