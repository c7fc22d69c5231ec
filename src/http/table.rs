//! Every open connection: what it waits for, until when, and who has it. The one state that threads share.

use std::collections::VecDeque;
use std::mem;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::later::Answer;
use super::poller::Poller;
use super::{Limits, Refusal};

/// What a connection is doing. Each phase has one duration, so those in it, in the order in which they entered it,
/// are in the order of their deadlines too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// The head of a request is coming in, since its first byte.
    Head,
    /// The body of a request is coming in, since its head was complete.
    Body,
    /// The application works on an answer.
    Answering,
    /// The client does not take what is written, since it last took something.
    Writing,
    /// Everything is written, and the client may still be sending what nobody wants. Closing at once would make the
    /// operating system throw away the answer with it (RFC 9112, section 9.6).
    Lingering,
}

/// How long a client has to close after an answer that ends the connection.
const LINGERING: Duration = Duration::from_secs(2);

/// Connections that may linger at once, beyond those that count.
pub const MOST_LINGERING: usize = 64;

/// Who has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The poller: it is waited for.
    Poller,
    /// The queue: it can be worked on.
    Queue,
    /// A worker.
    Worker,
    /// The application, which answers later.
    Application,
}

/// Names a connection, and never a later one in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) key: usize,
    generation: u64,
}

/// An answer that the application may put off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    token: Token,
    number: u64,
}

/// What the application is to do for a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// A part of the response has gone out already.
    pub(super) midway: bool,
    /// The client wants no body with its answer.
    pub(super) head_only: bool,
}

/// What is left of a connection that the table forgot. It is to be dropped without the lock: what the application
/// gave to be sent is dropped with it.
pub(super) struct Forgotten {
    pub(super) stream: Arc<TcpStream>,
    pub(super) connection: Option<Box<Connection>>,
    pub(super) answer: Option<Answer>,
}

/// A connection whose time is over, and what it is told.
pub(super) struct Expired {
    pub(super) key: usize,
    pub(super) stream: Arc<TcpStream>,
    pub(super) ending: Ending,
    /// Whether a worker is stuck on it.
    pub(super) holds_worker: bool,
}

/// How the time of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Without a word.
    Silent,
    /// With an answer.
    Refused(Refusal),
    /// With an answer, or its head only, while the application still works on another.
    Stuck { head_only: bool },
    /// Without a word, in the middle of a response that the application works on.
    StuckMidway,
    /// Not yet: the operating system tells only of much room for writing, so a worker tries whether there is any.
    LastTry,
}

struct Slot {
    generation: u64,
    /// `None` if the slot is free.
    stream: Option<Arc<TcpStream>>,
    /// What is kept for the next worker.
    connection: Option<Box<Connection>>,
    /// What the application put off and then had sooner than its worker was back.
    answer: Option<Answer>,
    /// Answers of the application so far, so that one that was put off is not taken for another.
    answered: u64,
    holder: Holder,
    phase: Phase,
    deadline: Instant,
    /// Whether a response was begun that an answer of the server's own would garble.
    midway: bool,
    /// Whether the client wants no body with its answer.
    head_only: bool,
    /// Whether a worker was sent to try to write although the time for it was over.
    last_try: bool,
    /// Whether a worker found a part of the request missing, so that it is the client who takes long.
    incomplete: bool,
    /// What the poller told of since a worker took it to read, or to write, and of its end at any time: it is told once.
    told: Told,
    previous: usize,
    next: usize,
}

/// The connections in one phase, in the order of their deadlines: a list through the slots.
#[derive(Clone, Copy)]
struct List {
    first: usize,
    last: usize,
    length: usize,
}

const NONE: usize = usize::MAX;

pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    lists: [List; 6],
    durations: [Duration; 6],
    queue: VecDeque<usize>,
    max_queued: usize,
    generation: u64,
    /// Workers that read or write, and are soon back: the application, which may block, does not have them.
    moving: usize,
    /// How many of those the machine can run at once.
    processors: usize,
    /// Workers that wait for something to do, the last to have gone to sleep at the end.
    sleepers: Vec<Thread>,
    /// Whether one of them was woken and is on its way.
    waking: bool,
    /// What that one is to run.
    pub(super) poller: Option<Box<Poller>>,
    /// Workers beyond the configured number, since others are stuck.
    pub(super) surplus: usize,
    /// No further requests: what is idle is closed.
    pub(super) stopping: bool,
    /// Nothing further at all: workers end.
    pub(super) closed: bool,
}

/// What the poller tells of a connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) ended: bool,
}

/// What became of a connection that can be read or written.
pub(super) enum Readiness {
    /// It is in the queue.
    Queued,
    /// There is no room in the queue.
    NoRoom(Arc<TcpStream>),
    /// What comes in is to be thrown away.
    Lingering(Arc<TcpStream>),
    /// Somebody else has it, or nobody, or it waits for something else.
    Ignored,
}

impl Table {
    pub(super) fn new(limits: &Limits) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            lists: [List { first: NONE, last: NONE, length: 0 }; 6],
            durations: [
                limits.idle_timeout,
                limits.head_timeout,
                limits.body_timeout,
                limits.request_timeout,
                limits.write_timeout,
                LINGERING,
            ],
            queue: VecDeque::new(),
            max_queued: limits.max_queued,
            generation: 0,
            moving: 0,
            processors: thread::available_parallelism().map_or(1, usize::from),
            sleepers: Vec::new(),
            waking: false,
            poller: None,
            surplus: 0,
            stopping: false,
            closed: false,
        }
    }

    /// Connections that count.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len() - self.lists[Phase::Lingering as usize].length
    }

    /// How many connections are in each phase, as `Phase` orders them.
    pub(super) fn phases(&self) -> [usize; 6] {
        self.lists.map(|list| list.length)
    }

    /// How many connections wait for a worker.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is no connection at all.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// Takes a new connection in; the poller has it, and it is idle.
    pub(super) fn insert(&mut self, connection: Box<Connection>, now: Instant) -> usize {
        self.generation += 1;
        let slot = Slot {
            generation: self.generation,
            stream: Some(connection.stream().clone()),
            connection: Some(connection),
            answer: None,
            answered: 0,
            holder: Holder::Poller,
            phase: Phase::Idle,
            deadline: now,
            midway: false,
            head_only: false,
            last_try: false,
            incomplete: false,
            told: Told::default(),
            previous: NONE,
            next: NONE,
        };
        let key = if let Some(key) = self.free.pop() {
            self.slots[key] = slot;
            key
        } else {
            self.slots.push(slot);
            self.slots.len() - 1
        };
        self.link(key, Phase::Idle, now);
        key
    }

    /// The poller says that a connection can be read, or written, or both, and whether its client has ended it.
    pub(super) fn ready(&mut self, key: usize, told: Told, now: Instant) -> Readiness {
        let Some(slot) = self.slots.get_mut(key) else { return Readiness::Ignored };
        let Told { readable, writable, ended } = told;
        slot.told.readable |= readable;
        slot.told.writable |= writable;
        slot.told.ended |= ended;
        let Some(stream) = slot.stream.as_ref().filter(|_| slot.holder == Holder::Poller) else {
            return Readiness::Ignored;
        };
        match slot.phase {
            Phase::Lingering => return Readiness::Lingering(stream.clone()),
            // Who sends more instead of taking its answer gains nothing.
            Phase::Writing if !writable => return Readiness::Ignored,
            // What is half written is finished whatever waits: that only makes room.
            Phase::Writing => {}
            _ if !readable => return Readiness::Ignored,
            _ if self.queue.len() >= self.max_queued => return Readiness::NoRoom(stream.clone()),
            _ => {}
        }
        self.enqueue(key, now);
        Readiness::Queued
    }

    /// The worker to be woken, if one should be, now that there is more to do. Not while as many are moving as can run:
    /// each of them comes to the queue soon, or asks the next question first.
    pub(super) fn choose_worker(&mut self) -> Option<Thread> {
        self.choose_beside(self.processors)
    }

    /// The worker to be woken, if one should be, now that one goes to the application, which may block. Not while
    /// another is moving. So quick requests keep a few threads busy and do not wake a crowd, and slow ones keep nobody
    /// waiting.
    pub(super) fn choose_successor(&mut self) -> Option<Thread> {
        self.choose_beside(1)
    }

    /// The last to have gone to sleep is woken first: its memory is at hand, and that of the others is not needed.
    fn choose_beside(&mut self, moving: usize) -> Option<Thread> {
        if self.queue.is_empty() || self.waking || self.moving >= moving {
            return None;
        }
        let woken = self.sleepers.pop();
        self.waking = woken.is_some();
        woken
    }

    /// Notes that a worker goes to sleep.
    pub(super) fn sleep(&mut self, worker: Thread) {
        self.sleepers.push(worker);
    }

    /// Whether a worker was woken, rather than for no reason; then it notes so.
    pub(super) fn note_awake(&mut self, worker: &Thread) -> bool {
        let woken = self.sleepers.iter().all(|sleeper| sleeper.id() != worker.id());
        self.waking &= !woken;
        woken
    }

    /// Every worker that sleeps.
    pub(super) fn sleepers(&mut self) -> Vec<Thread> {
        mem::take(&mut self.sleepers)
    }

    /// Gives the connection that has been in the queue for longest to a worker.
    pub(super) fn take(&mut self) -> Option<(Token, Box<Connection>)> {
        loop {
            let key = self.queue.pop_front()?;
            let slot = &mut self.slots[key];
            // One that was forgotten while it waited has left its key.
            if slot.stream.is_some() && slot.holder == Holder::Queue {
                slot.holder = Holder::Worker;
                slot.told.writable = false;
                // Who is to write does not begin by reading, and the end is found behind all that came before it.
                slot.told.readable &= slot.told.ended || slot.phase == Phase::Writing;
                self.moving += 1;
                let connection = slot.connection.take().expect("the queue keeps it");
                return Some((Token { key, generation: slot.generation }, connection));
            }
        }
    }

    /// Notes that the application begins to work, on a response or on more of it, and says how that answer is known if
    /// it is put off; `None` if there is nobody left to send it to.
    pub(super) fn begin_answer(&mut self, token: Token, work: Work, now: Instant) -> Option<Due> {
        if !self.is_current(token) {
            return None;
        }
        let slot = &mut self.slots[token.key];
        (slot.midway, slot.head_only) = (work.midway, work.head_only);
        let due = Due { token, number: slot.answered };
        self.enter(token.key, Phase::Answering, now);
        self.moving -= 1;
        Some(due)
    }

    /// Notes that the application is done, or will be later; `false` if that took too long and there is nobody left to
    /// send it to.
    pub(super) fn end_answer(&mut self, token: Token, is_later: bool, now: Instant) -> bool {
        self.moving += 1;
        let current = self.is_current(token);
        if current && !is_later {
            // Whatever comes next, it is not the application that takes long any more.
            self.enter(token.key, Phase::Writing, now);
            self.slots[token.key].answered += 1;
        }
        current
    }

    /// Takes out what was to be an answer beside the one that there was at once.
    pub(super) fn take_unwanted(&mut self, token: Token) -> Option<Answer> {
        if self.is_current(token) { self.slots[token.key].answer.take() } else { None }
    }

    /// Takes a connection back whose answer was put off, or returns it if that is there already.
    pub(super) fn wait_for_answer(
        &mut self,
        token: Token,
        mut connection: Box<Connection>,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let slot = &mut self.slots[token.key];
        let Some(answer) = slot.answer.take() else {
            (slot.connection, slot.holder) = (Some(connection), Holder::Application);
            return None;
        };
        connection.take_answer(answer);
        self.enter(token.key, Phase::Writing, now);
        self.moving += 1;
        Some(connection)
    }

    /// Takes an answer that was put off, or returns it if there is nobody left to send it to.
    pub(super) fn answer(&mut self, due: Due, answer: Answer, now: Instant) -> Option<Answer> {
        let Due { token, number } = due;
        if !self.is_current(token) || self.slots[token.key].answered != number {
            return Some(answer);
        }
        let slot = &mut self.slots[token.key];
        match &mut slot.connection {
            Some(connection) => {
                connection.take_answer(answer);
                self.enter(token.key, Phase::Writing, now);
                self.enqueue(token.key, now);
            }
            None => slot.answer = Some(answer),
        }
        None
    }

    /// Notes that a worker is done with a connection.
    pub(super) fn end_work(&mut self) {
        self.moving -= 1;
    }

    /// Whether the connection is still there; a worker that was stuck for too long finds it gone.
    pub(super) fn is_current(&self, token: Token) -> bool {
        self.slots[token.key].generation == token.generation && self.slots[token.key].stream.is_some()
    }

    /// Takes a connection back from a worker, to wait in this phase, or returns it if it is to be closed instead.
    ///
    /// Whoever comes back to a phase it did not leave has no more time for it, unless there was progress.
    pub(super) fn park(
        &mut self,
        token: Token,
        connection: Box<Connection>,
        phase: Phase,
        progress: bool,
        now: Instant,
    ) -> Result<(), Box<Connection>> {
        let slot = &mut self.slots[token.key];
        if self.stopping && phase == Phase::Idle && !slot.told.readable {
            return Err(connection);
        }
        slot.last_try &= phase == Phase::Writing && !progress;
        if slot.phase != phase || progress {
            self.enter(token.key, phase, now);
        }
        let slot = &mut self.slots[token.key];
        slot.holder = Holder::Poller;
        slot.connection = Some(connection);
        slot.incomplete = matches!(phase, Phase::Head | Phase::Body);
        let is_ready = if phase == Phase::Writing { slot.told.writable } else { slot.told.readable };
        if is_ready {
            self.enqueue(token.key, now);
        }
        Ok(())
    }

    /// Takes a connection back whose next request has come already: behind those that wait.
    pub(super) fn requeue(&mut self, token: Token, connection: Box<Connection>, now: Instant) {
        self.enter(token.key, Phase::Idle, now);
        let slot = &mut self.slots[token.key];
        (slot.connection, slot.incomplete) = (Some(connection), false);
        self.enqueue(token.key, now);
    }

    /// Takes a connection out of the queue, so that no worker gets it any more.
    pub(super) fn claim(&mut self, key: usize) {
        if self.slots[key].holder == Holder::Queue {
            self.queue.retain(|queued| *queued != key);
        }
        self.slots[key].holder = Holder::Poller;
    }

    /// Puts a connection into the queue that waits for much room to write, to find out whether there is any.
    pub(super) fn try_last(&mut self, key: usize, now: Instant) {
        self.slots[key].last_try = true;
        self.enqueue(key, now);
    }

    /// Lets a connection linger that has its last answer. Where there are too many of them, the one that has lingered
    /// for longest is forgotten and returned.
    pub(super) fn linger(&mut self, key: usize, now: Instant) -> Option<Forgotten> {
        self.enter(key, Phase::Lingering, now);
        self.slots[key].holder = Holder::Poller;
        let list = self.lists[Phase::Lingering as usize];
        if list.length > MOST_LINGERING { self.remove(list.first) } else { None }
    }

    /// The connection that has been idle for longest.
    pub(super) fn longest_idle(&self) -> Option<usize> {
        Some(self.lists[Phase::Idle as usize].first).filter(|key| *key != NONE)
    }

    /// Connections whose time is over now, at most so many, with what they are told. Those that a worker has at this
    /// moment are left to it, but for a worker that is stuck.
    pub(super) fn expired(&self, now: Instant, most: usize) -> Vec<Expired> {
        let mut expired = Vec::new();
        for list in self.lists {
            let mut key = list.first;
            while key != NONE && self.slots[key].deadline <= now && expired.len() < most {
                let slot = &self.slots[key];
                let ending = match (slot.phase, slot.holder) {
                    (Phase::Answering, _) if slot.midway => Some(Ending::StuckMidway),
                    (Phase::Answering, _) => Some(Ending::Stuck { head_only: slot.head_only }),
                    (_, Holder::Worker) | (Phase::Writing, Holder::Queue) => None,
                    (_, Holder::Queue) if !slot.incomplete => Some(Ending::Refused(Refusal::Busy)),
                    (Phase::Head, _) => {
                        Some(Ending::Refused(Refusal::HeadTooSlow(self.durations[Phase::Head as usize])))
                    }
                    (Phase::Body, _) => {
                        Some(Ending::Refused(Refusal::BodyTooSlow(self.durations[Phase::Body as usize])))
                    }
                    (Phase::Writing, _) if !slot.last_try => Some(Ending::LastTry),
                    (Phase::Idle | Phase::Writing | Phase::Lingering, _) => Some(Ending::Silent),
                };
                if let (Some(ending), Some(stream)) = (ending, &slot.stream) {
                    let holds_worker = slot.phase == Phase::Answering && slot.holder == Holder::Worker;
                    expired.push(Expired { key, stream: stream.clone(), ending, holds_worker });
                }
                key = slot.next;
            }
        }
        expired
    }

    /// The next moment at which a time is over, whatever happens until then.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lists.iter().filter(|list| list.first != NONE).map(|list| self.slots[list.first].deadline).min()
    }

    /// Forgets a connection.
    pub(super) fn remove(&mut self, key: usize) -> Option<Forgotten> {
        let stream = self.slots[key].stream.take()?;
        self.unlink(key);
        self.free.push(key);
        let slot = &mut self.slots[key];
        Some(Forgotten { stream, connection: slot.connection.take(), answer: slot.answer.take() })
    }

    /// The connections between requests.
    pub(super) fn idle(&self) -> Vec<usize> {
        let mut keys = Vec::new();
        let mut key = self.lists[Phase::Idle as usize].first;
        while key != NONE {
            keys.push(key);
            key = self.slots[key].next;
        }
        keys
    }

    /// Every connection.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|key| self.slots[*key].stream.is_some()).collect()
    }

    fn enqueue(&mut self, key: usize, now: Instant) {
        if self.slots[key].phase == Phase::Idle {
            self.enter(key, Phase::Head, now);
        }
        self.slots[key].holder = Holder::Queue;
        self.queue.push_back(key);
    }

    fn enter(&mut self, key: usize, phase: Phase, now: Instant) {
        self.unlink(key);
        self.link(key, phase, now);
    }

    fn link(&mut self, key: usize, phase: Phase, now: Instant) {
        let list = &mut self.lists[phase as usize];
        let slot = &mut self.slots[key];
        slot.phase = phase;
        slot.deadline = now + self.durations[phase as usize];
        slot.previous = list.last;
        slot.next = NONE;
        list.length += 1;
        if list.last == NONE {
            list.first = key;
        } else {
            self.slots[list.last].next = key;
        }
        list.last = key;
    }

    fn unlink(&mut self, key: usize) {
        let Slot { phase, previous, next, .. } = self.slots[key];
        let list = &mut self.lists[phase as usize];
        list.length -= 1;
        if previous == NONE {
            list.first = next;
        } else {
            self.slots[previous].next = next;
        }
        if next == NONE {
            list.last = previous;
        } else {
            self.slots[next].previous = previous;
        }
    }
}
