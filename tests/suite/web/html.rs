//! The page as a browser without JavaScript uses it.

use crate::support::app::TestApp;
use crate::support::http::Answer;

/// What such a browser accepts.
pub(super) const ACCEPT: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

/// A page that was shown.
pub(super) struct Html {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Html {
    /// Asserts that a response is the page, and is not kept anywhere.
    #[track_caller]
    pub(super) fn of(answer: &Answer) -> Html {
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"), "{}", answer.text());
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Referrer-Policy"), Some("same-origin"));
        assert!(answer.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'; "));
        assert!(answer.header("Location").is_none() && answer.header("Set-Cookie").is_none());
        Html { status: answer.status, text: answer.text() }
    }

    /// The value of a field of the form with this id, as a browser sends it.
    #[track_caller]
    pub(super) fn field(&self, form: &str, name: &str) -> String {
        let (_, form) = self.text.split_once(&format!("<form id=\"{form}\"")).expect("the form");
        let (form, _) = form.split_once("</form>").expect("its end");
        let (_, field) = form.split_once(&format!("name=\"{name}\" value=\"")).expect("the field");
        unescape(field.split('"').next().unwrap())
    }

    /// The page without what only its script uses.
    pub(super) fn without_script(&self) -> String {
        let mut parts = self.text.split("<script type=\"text/html\"");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| text + part.split_once("</script>").unwrap().1)
    }

    /// What stands in the field for the next message.
    pub(super) fn draft(&self) -> String {
        let (_, field) = self.text.split_once("<textarea id=\"message\"").unwrap();
        let (_, text) = field.split_once(">\n").expect("a browser drops the first line end");
        unescape(text.split_once("</textarea>").unwrap().0)
    }

    /// The messages that are shown, with their authors: `user` and `model`.
    pub(super) fn messages(&self) -> Vec<(String, String)> {
        let parts = self.text.split("<div class=\"message ").skip(1);
        let message = |part: &str| {
            let (_, text) = part.split_once("<p dir=\"auto\">").unwrap();
            (part.split('"').next().unwrap().to_owned(), unescape(text.split_once("</p></div>").unwrap().0))
        };
        parts.map(message).collect()
    }

    /// What the page says of its state.
    pub(super) fn notice(&self) -> String {
        let (_, rest) = self.text.split_once(" id=\"notice\"").expect("a notice");
        unescape(rest.split_once('>').unwrap().1.split("</").next().unwrap())
    }

    /// What it says of what happens with the words, sentence by sentence.
    pub(super) fn promise(&self) -> Vec<String> {
        let (_, rest) = self.text.split_once("<details id=\"promise\">").expect("the fold");
        let (fold, _) = rest.split_once("</details>").unwrap();
        fold.split("<li>").skip(1).map(|item| unescape(item.split_once("</li>").unwrap().0)).collect()
    }

    pub(super) fn code(&self) -> String {
        let (_, rest) = self.text.split_once("<output>").expect("a code");
        rest.split_once("</output>").unwrap().0.to_owned()
    }
}

fn unescape(text: &str) -> String {
    [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, character)| text.replace(escaped, character))
}

/// Sends a form of the page.
#[track_caller]
pub(super) fn send(app: &TestApp, form: &str, fields: &[(&str, &str)]) -> Html {
    Html::of(&app.client.post_form(&format!("/page/{form}?language=en"), fields, &ACCEPT))
}

/// Begins a conversation.
#[track_caller]
pub(super) fn begin(app: &TestApp) -> Html {
    let page = send(app, "begin", &[]);
    assert_eq!(page.status, 200);
    page
}

/// Says something on a page that was shown.
#[track_caller]
pub(super) fn say(app: &TestApp, page: &Html, text: &str) -> Html {
    let (id, key) = (page.field("say", "session_id"), page.field("say", "key"));
    send(app, "say", &[("session_id", &id), ("key", &key), ("message", text)])
}
