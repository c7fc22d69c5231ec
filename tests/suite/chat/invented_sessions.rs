//! Messages to sessions that do not exist: anybody can invent their ids.

use std::thread;
use std::{fs, io};

use safespace::session_id::SessionId;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::Schema;
use crate::support::process::Binary;
use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::{lock_table, wait_for_lock, wait_for_locks};

const CLIENTS: usize = 32;

fn invented() -> String {
    SessionId::random().expose().to_string()
}

/// Threads of turns in a process. An idle one lives for ten seconds.
fn turn_threads(process: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
    // Any other thread may end meanwhile.
    tasks.map(name).filter(|name| name.as_ref().is_ok_and(|name| name == "turn\n")).count()
}

#[test]
fn a_message_to_an_invented_session_takes_one_statement_and_no_thread() {
    let schema = Schema::new();
    let service = Binary::new(&[("DATABASE_URL", &schema.url()), ("METRICS_PORT", "0")]).serve();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let chat = Chat::of(&service.client, &invented());
            scope.spawn(move || {
                let answer = if number % 2 == 0 { chat.send("hello") } else { chat.send_with_key("key", "hello") };
                answer.assert_problem(404);
            });
        }
    });
    assert_eq!(turn_threads(service.process_id()), 0);
    let metrics = service.metrics().get("/metrics").assert_status(200).text();
    let items = |statement: &str| {
        let name = format!("safespace_batch_items_sum{{statement=\"messages/{statement}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).parse::<f64>().unwrap() as usize
    };
    assert_eq!(["recent", "find", "append"].map(items), [CLIENTS, 0, 0]);
    // The script takes none either, unless a message is sent again whose answer is not stored.
    let chat = Chat::create(&service.client);
    chat.send("hello").assert_status(200);
    assert_eq!(turn_threads(service.process_id()), 0);
    schema.client().execute("DELETE FROM messages WHERE position = 2", &[]).unwrap();
    chat.send("hello").assert_status(200);
    assert_eq!((turn_threads(service.process_id()), chat.transcript().len()), (1, 2));
}

#[test]
fn messages_that_share_a_statement_get_their_own_session_or_404() {
    let app = TestApp::with(&[("DB_ACQUIRE_TIMEOUT_MS", "10000")]);
    let mut sql = app.sql();
    // A new session, and two with one and two turns.
    let chats = [0, 1, 2].map(|turns| {
        let chat = Chat::new(&app);
        (0..turns).for_each(|_| _ = chat.send("hello").assert_status(200));
        chat
    });
    let mut questions = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let send = |chat: &Chat<'_>| {
        let mut raw = Raw::connect(app.client.address());
        raw.send(&chat.request("*/*", None, "hello"));
        raw
    };
    // Two statements run at once. These execute theirs alone, and wait for the lock; the others share the next one.
    for count in [1, 2] {
        send(&Chat::of(&app.client, &invented()));
        wait_for_locks(&mut questions, count);
    }
    let mut answers: Vec<Raw> =
        chats.iter().flat_map(|chat| [send(chat), send(&Chat::of(&app.client, &invented()))]).collect();
    // Requests are served in order, so by now the others are in a batch.
    assert_eq!(Raw::connect(app.client.address()).ask(GET).status, 200);
    lock.commit().unwrap();
    let statuses: Vec<u16> = answers.iter_mut().map(|raw| raw.answer().status).collect();
    assert_eq!(statuses, [200, 404, 200, 404, 200, 404]);
    assert_eq!(chats.map(|chat| chat.transcript().len()), [2, 4, 6]);
}

#[test]
fn messages_block_no_worker_while_the_database_hangs() {
    let app = TestApp::with(&[("APP_WORKERS", "1")]);
    let chat = Chat::new(&app);
    let (mut sql, mut questions) = (app.sql(), app.sql());
    let lock = lock_table(&mut sql, "sessions");
    let mut raw = Raw::connect(app.client.address());
    raw.send(&chat.request("*/*", None, "hello"));
    wait_for_lock(&mut questions);
    let mut probe = Raw::connect(app.client.address());
    probe.send(GET);
    assert_eq!(probe.answer().status, 200);
    lock.commit().unwrap();
    assert_eq!(raw.answer().status, 200);
}
