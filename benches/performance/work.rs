//! The works: which request a client sends, and which sessions it is about.

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Create,
    Read,
    Delete,
    Health,
    Root,
    Chat,
    Stream,
    History,
}

/// What is done by how many clients at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) connections: usize,
}

/// A request. One that is about a session has its id between the two parts of the path.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: [&'static str; 2],
    /// Lines of its head besides `Host`.
    pub(crate) head: &'static str,
    pub(crate) body: &'static str,
    /// What a whole answer has in it, where that is looked at.
    pub(crate) proof: Option<&'static str>,
}

/// The sessions that a load is about.
pub(crate) enum Subjects {
    Nobody,
    /// So many that are there, again and again.
    Any(usize),
    /// So many that are there, each once.
    Once(usize),
    /// So many new ones, each for one client at a time.
    New(usize),
    /// Those with a long history, again and again.
    Histories,
}

/// Existing sessions that are read in turn.
const READ_IDS: usize = 10_000;

/// Sessions for each client that chats: it goes on with the one that has waited for longest.
const CHATS_EACH: usize = 20;

/// A session's path is this, its id, and what is in it.
const SESSIONS: &str = "/api/v1/sessions/";
const CHAT: [&str; 2] = [SESSIONS, "/chat"];

const WORDS: &str = r#"{"message": "I am afraid to go home tonight, and there is nobody I could tell why."}"#;

const NO_BODY: Request = Request { method: "GET", path: [SESSIONS, ""], head: "", body: "", proof: None };

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Read => "read",
            Work::Delete => "delete",
            Work::Health => "health",
            Work::Root => "root",
            Work::Chat => "chat",
            Work::Stream => "stream",
            Work::History => "history",
        }
    }

    pub(crate) fn request(self) -> Request {
        match self {
            Work::Create => Request { method: "POST", path: ["/api/v1/sessions", ""], ..NO_BODY },
            Work::Read => NO_BODY,
            Work::Delete => Request { method: "DELETE", ..NO_BODY },
            Work::Health => Request { path: ["/health/db", ""], ..NO_BODY },
            Work::Root => Request { path: ["/", ""], ..NO_BODY },
            Work::Chat => Request {
                method: "POST",
                path: CHAT,
                head: "Content-Type: application/json\r\n",
                body: WORDS,
                proof: Some(r#""role":"model""#),
            },
            Work::Stream => Request {
                head: "Content-Type: application/json\r\nAccept: text/event-stream\r\n",
                proof: Some("event: message.end\n"),
                ..Work::Chat.request()
            },
            Work::History => Request { path: CHAT, ..NO_BODY },
        }
    }

    /// A session can be deleted once, so there are more for that than any service here deletes in that time; a load that
    /// runs out of them begins again, and its errors say so.
    pub(crate) fn subjects(self, connections: usize, seconds: u64, slow: bool) -> Subjects {
        let deletes_per_second = match connections {
            1 => 15_000,
            _ => 60_000,
        };
        match self {
            Work::Create | Work::Health | Work::Root => Subjects::Nobody,
            Work::Read => Subjects::Any(READ_IDS),
            Work::Delete => {
                let deletes = deletes_per_second * usize::try_from(seconds).unwrap_or(1);
                Subjects::Once(deletes / if slow { 10 } else { 1 })
            }
            Work::Chat | Work::Stream => Subjects::New(CHATS_EACH * connections),
            Work::History => Subjects::Histories,
        }
    }

    /// No peer streams.
    pub(crate) fn is_for_peers(self) -> bool {
        self != Work::Stream
    }
}
