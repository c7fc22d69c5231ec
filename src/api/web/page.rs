//! The page in one of its states as a response.

use std::fmt::Write;
use std::sync::Arc;

use super::help_line::help_line;
use crate::api::catalogue::FieldCode;
use crate::api::language;
use crate::api::privacy::logged_requests;
use crate::api::problem::{ErrorBody, Problem};
use crate::api::resources::listing::Resources;
use crate::api::respond::{self, with_vary};
use crate::api::responder::Context;
use crate::companion::{self, Safety};
use crate::http::{Request, Response};
use crate::language::Language;
use crate::privacy::{Disclosure, sentences};
use crate::resources::{Resource, Selection};
use crate::web::{HelpLine, PageView, Site, Talk, Texts, View};

/// Makes the page in one language.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) site: Arc<Site>,
    resources: Arc<Resources>,
    disclosure: Arc<Disclosure>,
    language: Language,
}

impl Page {
    /// The page in the language of a request: that of `?language=`, or the one that the browser prefers. `None` where there is no page.
    pub(super) fn of(context: &Context, request: &Request) -> Option<Page> {
        let page = Page::in_language(context, language::of(request))?;
        let wanted = request.get_param("language");
        let named = page.site.languages.iter().find(|own| wanted.as_deref() == Some(own.tag())).copied();
        Some(Page { language: named.unwrap_or(page.language), ..page })
    }

    /// The page in this language, or in its default one where it does not have that.
    pub(super) fn in_language(context: &Context, preferred: Option<Language>) -> Option<Page> {
        let site = context.site.clone()?;
        let language = preferred.filter(|own| site.languages.contains(own)).unwrap_or(site.languages[0]);
        let (resources, disclosure) = (context.resources.clone(), context.disclosure.clone());
        Some(Page { site, resources, disclosure, language })
    }

    /// Where the first view is, in this language.
    pub(super) fn address(&self) -> String {
        format!("/?language={}", self.language.tag())
    }

    pub(super) fn texts(&self) -> &Texts {
        self.site.texts(self.language)
    }

    /// The page in one of its states.
    pub(super) fn response(&self, view: View, notice: Option<String>, talk: Talk<'_>) -> Response {
        let (site, language, help) = (&self.site, self.language, self.help_lines());
        let promise = if view == View::Ended { Vec::new() } else { self.promise() };
        let view = PageView { site, language, texts: self.texts(), view, help, notice, promise, talk };
        let html = askama::Template::render(&view).expect("writing to a String never fails");
        let response = respond::with_body(200, "text/html; charset=utf-8", html.into_bytes())
            .with_additional_header("Content-Language", language.tag())
            .with_additional_header("Content-Security-Policy", content_security_policy(site))
            // A page that opened this one must not be able to lead it elsewhere, or to see when the person leaves.
            .with_additional_header("Cross-Origin-Opener-Policy", "same-origin")
            // With `no-referrer`, a browser would not say that a form is the page's own.
            .with_additional_header("Referrer-Policy", "same-origin");
        let response = if site.embed_origins.is_empty() {
            response
        } else {
            // A site that is cross-origin isolated shows a frame only with both.
            response
                .with_additional_header("Cross-Origin-Embedder-Policy", "require-corp")
                .with_additional_header("Cross-Origin-Resource-Policy", "cross-origin")
        };
        with_vary(with_vary(response, "Accept"), "Accept-Language")
    }

    /// The page without a conversation, which says what went wrong: with the text of `otherwise` where the problem has none.
    pub(super) fn error_body(self, view: View, otherwise: &'static str) -> ErrorBody {
        let make =
            move |problem: &Problem| self.response(view, Some(self.words_of(problem, otherwise)), Talk::default());
        ErrorBody::Page(Box::new(make))
    }

    /// What a person reads in the place of a problem: the text of `otherwise` where it has none.
    pub(super) fn words_of(&self, problem: &Problem, otherwise: &str) -> String {
        let texts = self.texts();
        if problem.is_about(FieldCode::SessionIdInvalid) {
            return texts.get("code_wrong").to_owned();
        }
        texts.problem(&problem.code().name(), otherwise).to_owned()
    }

    /// The help lines for what was found in a message, as in the API.
    pub(super) fn safety_lines(&self, safety: Option<Safety>) -> Vec<HelpLine<'_>> {
        let lines = safety.map(|Safety { risk, .. }| companion::help_lines(&self.resources.registry, Some(risk)));
        self.lines(lines.unwrap_or_default())
    }

    /// The sentences of `GET /api/v1/privacy`.
    fn promise(&self) -> Vec<String> {
        let promise = self.disclosure.promise(logged_requests());
        sentences(&promise, self.language).into_iter().map(|sentence| sentence.text).collect()
    }

    /// The help lines of the service's country in the order of the registry, in which an emergency comes first.
    fn help_lines(&self) -> Vec<HelpLine<'_>> {
        let registry = &self.resources.registry;
        self.lines(registry.select(Selection { country: Some(&registry.country), topic: None, language: None }))
    }

    fn lines<'a>(&self, lines: Vec<&'a Resource>) -> Vec<HelpLine<'a>> {
        lines.into_iter().map(|line| help_line(line, self.resources.is_verified(line))).collect()
    }
}

/// It allows no script in the page itself: what stands there in `<script type="text/html">` is data, and never run.
fn content_security_policy(site: &Site) -> String {
    let mut policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors"
        .to_owned();
    if site.embed_origins.is_empty() {
        policy.push_str(" 'none'");
    }
    for origin in &site.embed_origins {
        // Writing to a String never fails.
        let _ = write!(policy, " {origin}");
    }
    policy
}
