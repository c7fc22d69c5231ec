//! Searches the memory of the running service for keys, ids and words of sessions that were erased, or are not in use.

mod process_memory;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hkdf::Hkdf;
use serde_json::json;
use sha2::Sha256;
use sha2::block_api::compress256;
use uuid::Uuid;

use crate::support::chat::Chat;
use crate::support::cluster::{Cluster, DataFolder};
use crate::support::eventually;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::http::{Answer, Client};
use crate::support::process::{Binary, Service};
use crate::support::raw::Raw;
use crate::support::reports::{Reports, answers_with, id_of};
use crate::support::timing::PATIENCE;
use process_memory::Needles;

/// Sessions that are used at once.
const SESSIONS: usize = 20;

/// After this time nothing of a request is left.
const LIMIT: Duration = Duration::from_secs(5);

/// Letters that occur nowhere else, and are no number, which answers may not have.
fn marker() -> String {
    Uuid::new_v4().as_bytes().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// Asks again while the few threads for reports are busy.
fn patiently(ask: impl Fn() -> Answer) -> Answer {
    eventually(PATIENCE, || Some(ask()).filter(|answer| answer.status != 503))
}

/// What a session leaves where memory is not overwritten.
struct Session {
    id: String,
    code: String,
    /// A word of the person's, of a report, and of an `Idempotency-Key`.
    words: [String; 3],
}

impl Session {
    fn create(client: &Client) -> Session {
        let session = client.post("/api/v1/sessions").assert_status(201).json();
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        Session { id: text("session_id"), code: text("recovery_code"), words: [(); 3].map(|()| marker()) }
    }

    fn path(&self) -> String {
        format!("/api/v1/sessions/{}", self.id)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.id)
    }

    /// Uses the session with the whole API.
    fn use_all(&self, client: &Client) {
        let [word, told, key] = &self.words;
        let chat = Chat::of(client, &self.id);
        let bearer = self.bearer();
        let authorization = ("Authorization", bearer.as_str());
        chat.send_with_key(key, &format!("The first {word}")).assert_status(200);
        chat.send_with_key(key, &format!("The first {word}")).assert_status(200);
        chat.send_with_key(key, &format!("Another {word}")).assert_problem(422);
        chat.stream(&format!("The second \u{1f622} {word}, nobody helps")).message();
        let message = json!({"message": format!("I want to die, {word}")});
        client.post_json("/api/v1/session/chat", &message, &[authorization]).assert_status(200);
        chat.stop().assert_status(204);
        assert_eq!(chat.messages().len(), 6);
        chat.history("?limit=1").assert_status(200);
        client.send_with("GET", "/api/v1/session/chat", &[authorization]).assert_status(200);
        client.send_with("GET", "/api/v1/session", &[authorization]).assert_status(200);
        client.get(&format!("/api/v1/sessions/{}", self.id.to_uppercase())).assert_status(200);
        client.get(&format!("/api/v1/sessions/{}", self.code)).assert_status(200);
        client.patch_json(&self.path(), &json!({"idle_timeout_seconds": 3600})).assert_status(200);

        let reports = Reports::of(client, &self.id);
        let report = reports.create(&answers_with(&json!({"narrative": format!("It was {told}\n\u{e9}, {told}")})));
        reports.change(id_of(&report), &json!({"occurred_at": told, "language": "en"})).assert_status(200);
        for media_type in ["application/json", "application/pdf", "text/plain", "text/markdown", "text/html"] {
            patiently(|| reports.newest_as(media_type)).assert_status(200);
        }
        assert_eq!(reports.list().len(), 1);
        for media_type in ["application/json", "text/markdown"] {
            patiently(|| reports.export(media_type)).assert_status(200);
        }

        let html = [("Accept", "text/html")];
        let said = [("session_id", self.code.as_str()), ("key", key), ("message", &format!("On the page, {word}"))];
        client.post_form("/page/say?language=en", &said, &html).assert_status(200);
        client.post_form("/page/read?language=en", &[("session_id", &self.code)], &html).assert_status(200);

        // What is refused was read all the same.
        client.get(&format!("{}0", self.path())).assert_problem(422);
        client.send("PATCH", &chat.path()).assert_problem(405);
        client.get(&format!("{}/{word}", self.path())).assert_problem(404);
        reports.change(id_of(&report), &json!({"narrative": 1, "location": told})).assert_problem(422);
        client
            .post_body(&chat.path(), "application/json", format!("{{\"message\":\"{word}").as_bytes())
            .assert_problem(422);
        client.post_body(&chat.path(), "text/plain", word.as_bytes()).assert_problem(415);
    }

    /// Erases the session in one of the ways there are, or leaves it alone: its key is in no request then.
    fn end(&self, client: &Client, way: usize) {
        let form = [("session_id", self.id.as_str())];
        match way % 5 {
            0 => client.delete(&self.path()).assert_status(204),
            1 => client.post_form("/api/v1/panic", &form, &[]).assert_status(204),
            2 => client.post_form("/api/v1/exit", &form, &[]).assert_status(303),
            3 => client.post_form("/page/end?language=en", &form, &[("Accept", "text/html")]).assert_status(200),
            _ => return,
        };
        let bearer = self.bearer();
        client.send_with("GET", "/api/v1/session", &[("Authorization", &bearer)]).assert_problem(404);
    }

    /// The bytes of all of that in memory.
    fn add_to(&self, needles: &mut Needles) {
        let id: Uuid = self.id.parse().unwrap();
        for (what, bytes) in [
            ("the id as text", self.id.as_bytes()),
            ("the id in upper case", self.id.to_uppercase().as_bytes()),
            ("the id without hyphens", id.simple().to_string().as_bytes()),
            ("the id as bytes", id.as_bytes()),
            ("the id as a number", &id.as_u128().to_le_bytes()),
            ("the recovery code", self.code.as_bytes()),
            ("the recovery code without hyphens", self.code.replace('-', "").as_bytes()),
            ("words of the person", self.words[0].as_bytes()),
            ("words of a report", self.words[1].as_bytes()),
            ("an Idempotency-Key", self.words[2].as_bytes()),
        ] {
            needles.add(what, bytes);
        }
        for (what, bytes) in keys(&id) {
            needles.add(what, &bytes);
        }
    }
}

/// What leads to the texts of a session: its key, the key that it is derived from, and the states of HMAC under that.
fn keys(id: &Uuid) -> Vec<(&'static str, Vec<u8>)> {
    let (derived_from, derivation) = Hkdf::<Sha256>::extract(Some(b"SafeSpace"), id.as_bytes());
    let mut key = [0; 32];
    derivation.expand(b"seal", &mut key).unwrap();
    let mut keys = vec![("the sealing key", key.to_vec()), ("the key of the derivation", derived_from.to_vec())];
    for pad in [0x36, 0x5c] {
        let mut block = [pad; 64];
        block.iter_mut().zip(derived_from).for_each(|(byte, of_key)| *byte ^= of_key);
        keys.push(("a block of the derivation", block[..32].to_vec()));
        // The initial hash value of SHA-256.
        let mut state =
            [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
        compress256(&mut state, &[block]);
        keys.push(("a state of the derivation", state.iter().flat_map(|word| word.to_ne_bytes()).collect()));
    }
    keys
}

/// Uses sessions on many workers at once, erases most of them, and returns what is to be searched for, and the clients, whose
/// connections stay open.
fn use_and_end(service: &Service, sessions: usize) -> (Needles, Vec<Client>) {
    let one = |number: usize| {
        let client = Client::new(service.address);
        let session = Session::create(&client);
        session.use_all(&client);
        session.end(&client, number);
        (session, client)
    };
    let used: Vec<(Session, Client)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut needles = Needles::default();
    used.iter().for_each(|(session, _)| session.add_to(&mut needles));
    (needles, used.into_iter().map(|(_, client)| client).collect())
}

/// Asserts that the memory has none of these from [`LIMIT`] after this moment on.
#[track_caller]
fn assert_forgotten(service: &Service, needles: &Needles) {
    let erased_at = Instant::now();
    loop {
        let found = needles.find(service.process_id());
        if found.is_empty() {
            println!("nothing is left {:?} after the last answer", erased_at.elapsed());
            return;
        }
        if erased_at.elapsed() > LIMIT {
            let mut counts = BTreeMap::<&str, usize>::new();
            found.iter().for_each(|hit| *counts.entry(hit.what).or_default() += 1);
            let first: Vec<_> = found.iter().take(20).map(ToString::to_string).collect();
            panic!("{LIMIT:?} after the last answer there are {counts:#?}:\n{}", first.join("\n"));
        }
    }
}

/// Asserts that the search finds what a request holds whose end is missing, and that its end is the end of that.
fn assert_found_while_used(service: &Service) {
    let session = Session::create(&service.client);
    let mut needles = Needles::default();
    needles.add("the id of a request", session.id.as_bytes());
    let mut unfinished = Raw::connect(service.address);
    let head = format!("POST {}/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n", session.path());
    unfinished.send(head.as_bytes());
    eventually(PATIENCE, || (!needles.find(service.process_id()).is_empty()).then_some(()));
    unfinished.ask(b"\r\n{\"m\":\"m\"}").assert_problem(415);
    service.client.delete(&session.path()).assert_status(204);
    assert_forgotten(service, &needles);
}

#[test]
#[ignore = "needs the right to read the memory of a process, as root has"]
fn the_memory_of_a_service_with_its_own_postgresql_has_nothing_of_erased_sessions_and_of_those_not_in_use() {
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    assert_found_while_used(&service);
    let (needles, clients) = use_and_end(&service, SESSIONS);
    assert_forgotten(&service, &needles);
    drop(clients);
}

#[test]
#[ignore = "needs the right to read the memory of a process, as root has"]
fn the_memory_of_a_service_with_a_model_has_nothing_of_erased_sessions_and_of_those_not_in_use() {
    let (cluster, model) = (Cluster::start(), FakeModel::start());
    model.always(Arc::new(|reply| {
        let question = reply.question.clone();
        reply.delta("You said: ")?;
        reply.delta(&question)?;
        reply.finish("stop")
    }));
    let service = model.service_at(&cluster.url());
    let (mut needles, clients) = use_and_end(&service, SESSIONS);

    // One whose answer is erased while it is being made: until then the turn has its key and its words.
    let (interrupted, gate) = (Session::create(&service.client), Arc::default());
    model.next(pauses_at(&gate, &interrupted.words[1], "the rest"));
    let chat = Chat::of(&service.client, &interrupted.id);
    let mut stream = Raw::connect(service.address);
    stream.send(&chat.stream_request(None, &interrupted.words[0]));
    let mut held = Needles::default();
    interrupted.add_to(&mut held);
    for what in ["the sealing key", "words of the person", "words of a report", "the id as bytes"] {
        eventually(PATIENCE, || held.find(service.process_id()).iter().any(|hit| hit.what == what).then_some(()));
    }
    interrupted.end(&service.client, 0);
    gate.open();
    interrupted.add_to(&mut needles);
    assert_forgotten(&service, &needles);
    drop((stream, clients));
}

#[test]
fn the_memory_of_the_service_is_not_dumped() {
    let cluster = Cluster::start();
    let service = Binary::without_root(&[("DATABASE_URL", &cluster.url()), ("LOG_LEVEL", "debug")]).serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", service.process_id())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(limit.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"], "{limits}");
    // The files of a process belong to its user, or to root where its memory may not be dumped.
    let owner = |process: u32| fs::metadata(format!("/proc/{process}/environ")).unwrap().uid();
    assert_eq!(owner(service.process_id()), 0);
    assert_ne!(owner(cluster.process_id()), 0, "PostgreSQL's");
    // It still can look at itself and at PostgreSQL.
    eventually(PATIENCE, || {
        // A connection says it once it has executed a statement.
        service.client.post("/api/v1/sessions").assert_status(201);
        service.client.get("/health/db").assert_status(200);
        service.log().contains("statements=prepared").then_some(())
    });
}
