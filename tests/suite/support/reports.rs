//! The reports of one session as its client uses them.

use serde_json::{Value, json};

use super::app::TestApp;
use super::http::{Answer, Client};

/// The five answers, as the first version's front-end sends them.
pub(crate) fn answers() -> Value {
    json!({
        "location": "kampus",
        "perpetrator": "lecturer",
        "description": "repeated pressure",
        "evidence": "messages",
        "user_goal": "consider reporting",
    })
}

/// The five answers with further facts, or others in their place.
pub(crate) fn answers_with(further: &Value) -> Value {
    let mut answers = answers();
    answers.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    answers
}

/// A session and the client that owns it.
pub(crate) struct Reports<'a> {
    client: &'a Client,
    /// The path of the session.
    pub(crate) session: String,
}

impl<'a> Reports<'a> {
    /// Those of a new session.
    #[track_caller]
    pub(crate) fn new(app: &'a TestApp) -> Reports<'a> {
        Reports::of(&app.client, &app.create_session())
    }

    /// Those of a session that need not exist.
    pub(crate) fn of(client: &'a Client, session_id: &str) -> Reports<'a> {
        Reports { client, session: format!("/api/v1/sessions/{session_id}") }
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/report", self.session)
    }

    pub(crate) fn path_of(&self, id: &str) -> String {
        format!("{}/reports/{id}", self.session)
    }

    #[track_caller]
    pub(crate) fn try_create(&self, body: &Value) -> Answer {
        self.client.post_json(&self.path(), body, &[])
    }

    /// Makes a report and returns it.
    #[track_caller]
    pub(crate) fn create(&self, body: &Value) -> Value {
        self.try_create(body).assert_status(201).json()
    }

    pub(crate) fn newest(&self) -> Answer {
        self.client.get(&self.path())
    }

    /// The newest report in a format.
    #[track_caller]
    pub(crate) fn newest_as(&self, accept: &str) -> Answer {
        self.client.get_as(&self.path(), accept)
    }

    /// All that is stored of the session, in a format.
    #[track_caller]
    pub(crate) fn export(&self, accept: &str) -> Answer {
        self.client.get_as(&format!("{}/export", self.session), accept)
    }

    pub(crate) fn get(&self, id: &str) -> Answer {
        self.client.get(&self.path_of(id))
    }

    pub(crate) fn change(&self, id: &str, body: &Value) -> Answer {
        self.client.patch_json(&self.path_of(id), body)
    }

    pub(crate) fn delete(&self, id: &str) -> Answer {
        self.client.delete(&self.path_of(id))
    }

    /// The list of the reports, the newest first.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let list = self.client.get(&format!("{}/reports", self.session)).assert_status(200).json();
        list["reports"].as_array().unwrap().clone()
    }
}

/// The id of a report.
#[track_caller]
pub(crate) fn id_of(report: &Value) -> &str {
    report["id"].as_str().expect("a report has an id")
}
