//! The workloads: which request the clients send, and for which sessions.

/// What all clients of a load do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Create,
    Read,
    Delete,
    Health,
    Root,
    Chat,
    Stream,
    History,
}

/// A workload and its number of concurrent clients, one connection each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
}

impl Case {
    /// As in `create, 128 clients`.
    pub(crate) fn title(self) -> String {
        let clients = if self.connections == 1 { "client" } else { "clients" };
        format!("{}, {} {clients}", self.workload.name(), self.connections)
    }
}

/// A request. The id of a session goes between the two parts of the path.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: [&'static str; 2],
    /// Header fields besides `Host` and `Content-Length`.
    pub(crate) fields: &'static str,
    pub(crate) body: &'static str,
    /// Text that every complete response body contains, where bodies are checked.
    pub(crate) expected: Option<&'static str>,
}

/// The sessions that a load needs.
pub(crate) enum SessionChoice {
    None,
    /// This many existing sessions, used repeatedly.
    Reused(usize),
    /// This many existing sessions, each used once.
    Once(usize),
    /// This many new sessions, each used by one client at a time.
    New(usize),
    /// The sessions with a long history, used repeatedly.
    Histories,
}

/// Existing sessions that a load reads round-robin.
const READ_IDS: usize = 10_000;

/// Sessions per chat client, which always takes the least recently used one.
const CHAT_SESSIONS_PER_CLIENT: usize = 20;

/// A session's path is this, its id, and the resource within it.
const SESSIONS: &str = "/api/v1/sessions/";
const CHAT: [&str; 2] = [SESSIONS, "/chat"];

const CHAT_BODY: &str = r#"{"message": "I am afraid to go home tonight, and there is nobody I could tell why."}"#;

const READ: Request = Request { method: "GET", path: [SESSIONS, ""], fields: "", body: "", expected: None };

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Create => "create",
            Workload::Read => "read",
            Workload::Delete => "delete",
            Workload::Health => "health",
            Workload::Root => "root",
            Workload::Chat => "chat",
            Workload::Stream => "stream",
            Workload::History => "history",
        }
    }

    pub(crate) fn request(self) -> Request {
        match self {
            Workload::Create => Request { method: "POST", path: ["/api/v1/sessions", ""], ..READ },
            Workload::Read => READ,
            Workload::Delete => Request { method: "DELETE", ..READ },
            Workload::Health => Request { path: ["/health/db", ""], ..READ },
            Workload::Root => Request { path: ["/", ""], ..READ },
            Workload::Chat => Request {
                method: "POST",
                path: CHAT,
                fields: "Content-Type: application/json\r\n",
                body: CHAT_BODY,
                expected: Some(r#""role":"model""#),
            },
            Workload::Stream => Request {
                fields: "Content-Type: application/json\r\nAccept: text/event-stream\r\n",
                expected: Some("event: message.end\n"),
                ..Workload::Chat.request()
            },
            Workload::History => Request { path: CHAT, ..READ },
        }
    }

    /// A session can be deleted once, so a load gets more sessions than any service deletes in that time. A load that
    /// runs out of them starts over and counts errors.
    pub(crate) fn sessions(self, connections: usize, seconds: u64, slow: bool) -> SessionChoice {
        let deletes_per_second = match connections {
            1 => 15_000,
            _ => 60_000,
        };
        match self {
            Workload::Create | Workload::Health | Workload::Root => SessionChoice::None,
            Workload::Read => SessionChoice::Reused(READ_IDS),
            Workload::Delete => {
                let deletes = deletes_per_second * usize::try_from(seconds).unwrap_or(1);
                SessionChoice::Once(deletes / if slow { 10 } else { 1 })
            }
            Workload::Chat | Workload::Stream => SessionChoice::New(CHAT_SESSIONS_PER_CLIENT * connections),
            Workload::History => SessionChoice::Histories,
        }
    }
}
