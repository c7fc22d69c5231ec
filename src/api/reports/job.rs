//! A request for the reports of one session, on a thread for reports: its code is a sequence of blocking calls.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::request::GivenFacts;
use super::wire::ReportBody;
use super::workers::{PolishPermit, ReportWorkers};
use crate::api::catalogue::Code;
use crate::api::problem::Problem;
use crate::api::resources::listing::Listing;
use crate::api::responder::{Context, Responder, catch_panic};
use crate::api::sessions;
use crate::config::RetentionSettings;
use crate::document::Document;
use crate::http::Response;
use crate::message;
use crate::peers::PeerKey;
use crate::report::{Facts, PolishPrompt, Report, Source};
use crate::retention::Life;
use crate::sealing::{Lookup, SealingKey};
use crate::session_id::SessionId;
use crate::store::{MAX_REPORTS, ReportAppended, ReportList, ReportRef, Store};
use crate::sync::{CancellationToken, ThreadPool};
use crate::turns::{Polish, Turns};

/// A request that has waited this long for a thread is refused before anything is done: its client may be gone soon, and would send
/// it again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Attempts to store a report while other requests change the reports of the session. Each of them fails only since another one has
/// succeeded.
const MAX_ATTEMPTS: u32 = 32;

/// What a request for reports works with.
pub(in crate::api) struct ReportJob {
    store: Arc<Store>,
    reports: Arc<ReportWorkers>,
    listing: Arc<Listing>,
    policy: RetentionSettings,
    pub(super) session_id: SessionId,
    key: SealingKey,
    received_at: Instant,
    /// Whether the companion's model is to smooth the language, and for whom.
    polish: Option<PolishRequest>,
}

/// A client that wants its report polished.
pub(super) struct PolishRequest {
    pub(super) turns: Arc<Turns>,
    pub(super) peer: Option<PeerKey>,
    /// Cancelled when the client is gone.
    pub(super) disconnect: CancellationToken,
    pub(super) _permit: PolishPermit,
}

impl ReportJob {
    pub(in crate::api) fn new(context: &Context, session_id: SessionId, key: SealingKey) -> ReportJob {
        let (store, reports, policy) = (context.store.clone(), context.reports.clone(), context.retention);
        let listing = context.resources.listing();
        ReportJob { store, reports, listing, policy, session_id, key, received_at: Instant::now(), polish: None }
    }

    pub(super) fn with_polish(self, polish: Option<PolishRequest>) -> ReportJob {
        ReportJob { polish, ..self }
    }

    pub(super) fn lookup(&self) -> Lookup {
        self.key.lookup()
    }

    /// Cancelled when the client is gone, if that changes the job.
    pub(super) fn disconnect(&self) -> Option<CancellationToken> {
        self.polish.as_ref().map(|polish| polish.disconnect.clone())
    }

    /// Has a thread do the job, and answers with what that makes; 503 if too much waits for a thread.
    pub(super) fn run(
        self,
        threads: fn(&ReportWorkers) -> &ThreadPool,
        responder: Responder,
        make: impl FnOnce(&ReportJob) -> Result<Response, Problem> + Send + 'static,
    ) {
        self.run_with(threads, responder, |this, responder| {
            let result = catch_panic(|| make(&this));
            // On a worker, as what is made for a request and not at hand, so that its memory counts.
            responder.respond_with(move || result);
        });
    }

    /// Has a thread do the job, which answers; 503 if too much waits for a thread. Anybody can invent the id of a session: such a
    /// request, or one for a session that has ended, takes no thread.
    pub(in crate::api) fn run_with(
        self,
        threads: fn(&ReportWorkers) -> &ThreadPool,
        responder: Responder,
        start: impl FnOnce(ReportJob, Responder) + Send + 'static,
    ) {
        let (store, session) = (self.store.clone(), self.lookup());
        let found = move |found| match sessions::living(self.policy, &self.key, found) {
            Err(problem) => responder.respond_with(move || Err(problem)),
            Ok(_) => self.run_living(threads, responder, start),
        };
        store.sessions.find(session, Box::new(found));
    }

    fn run_living(
        self,
        threads: fn(&ReportWorkers) -> &ThreadPool,
        responder: Responder,
        start: impl FnOnce(ReportJob, Responder) + Send + 'static,
    ) {
        let workers = self.reports.clone();
        let mut pending = PendingResponder(Some(responder));
        let job = move || {
            if self.received_at.elapsed() <= MAX_WAIT
                && let Some(responder) = pending.0.take()
            {
                start(self, responder);
            }
        };
        // Rejected, the job is dropped, and with it the responder, which answers.
        let _ = threads(&workers).execute(job);
    }

    /// The session, if it exists and has not ended, and its reports, the newest first.
    pub(in crate::api) fn session(&self) -> Result<(Life, ReportList), Problem> {
        let list = self.store.reports.list(self.key.lookup())?.ok_or_else(no_session)?;
        let life = Life::open(self.policy, &self.key, &list.session)?;
        Ok((life.ok_or_else(no_session)?, list))
    }

    pub(super) fn places(&self) -> Result<Vec<ReportRef>, Problem> {
        self.session().map(|(_, list)| list.places)
    }

    /// Where a report of the session is.
    fn place(&self, id: Uuid) -> Result<ReportRef, Problem> {
        self.places()?.into_iter().find(|place| place.id == id).ok_or_else(no_report)
    }

    /// The newest report of the session.
    pub(super) fn newest(&self) -> Result<Report, Problem> {
        for place in self.places()? {
            if let Some(report) = self.read(place)? {
                return Ok(report);
            }
        }
        Err(no_report())
    }

    /// A report of the session.
    pub(super) fn find(&self, id: Uuid) -> Result<Report, Problem> {
        self.read(self.place(id)?)?.ok_or_else(no_report)
    }

    /// The report at a place; `None` if it was deleted meanwhile.
    pub(in crate::api) fn read(&self, place: ReportRef) -> Result<Option<Report>, Problem> {
        let sealed = self.store.reports.find(self.key.lookup(), place.id)?;
        sealed.map(|sealed| self.open(place, &sealed)).transpose()
    }

    fn open(&self, ReportRef { id, position }: ReportRef, sealed: &[u8]) -> Result<Report, Problem> {
        Ok(Report::open(&self.key, id, position, sealed)?)
    }

    /// Makes a report and stores it behind all others of the session.
    pub(super) fn create(&self, facts: Facts) -> Result<Report, Problem> {
        let mut places = self.places_with_room()?;
        let (document, source) = self.word(&facts, self.polish.as_ref());
        let (id, created_at) = (Uuid::new_v4(), message::now());
        let updated_at = created_at;
        let mut report = Report { id, position: 0, created_at, updated_at, facts, document, source };
        let at = message::seal_last_report(&self.key, created_at);
        for _ in 0..MAX_ATTEMPTS {
            report.position = places.first().map_or(0, |newest| newest.position).saturating_add(1);
            let place = ReportRef { position: report.position, id };
            let sealed = report.seal(&self.key);
            match self.store.reports.append(self.key.lookup(), place, &sealed, &at)? {
                ReportAppended::Stored => return Ok(report),
                ReportAppended::NoSession => return Err(no_session()),
                ReportAppended::NotStored => places = self.places_with_room()?,
            }
        }
        Err(Problem::new(Code::Busy))
    }

    /// The reports of the session, if it may have another one.
    fn places_with_room(&self) -> Result<Vec<ReportRef>, Problem> {
        let places = self.places()?;
        let is_full = i32::try_from(places.len()).is_ok_and(|count| count >= MAX_REPORTS);
        if is_full { Err(Problem::new(Code::ReportsFull)) } else { Ok(places) }
    }

    /// Changes a report, and words it anew. Of changes at the same time none is lost.
    pub(super) fn change(&self, id: Uuid, changes: &GivenFacts) -> Result<Report, Problem> {
        let mut polish = self.polish.as_ref();
        for _ in 0..MAX_ATTEMPTS {
            let place = self.place(id)?;
            let before = self.store.reports.find(self.key.lookup(), id)?.ok_or_else(no_report)?;
            let report = self.open(place, &before)?;
            let facts = changes.apply(report.facts);
            // Once, within the time of one request.
            let (document, source) = self.word(&facts, polish.take());
            let updated_at = message::now().max(report.updated_at);
            let report = Report { facts, document, source, updated_at, ..report };
            let (sealed, at) = (report.seal(&self.key), message::seal_last_report(&self.key, updated_at));
            if self.store.reports.replace(self.key.lookup(), id, &before, &sealed, &at)? {
                return Ok(report);
            }
        }
        Err(Problem::new(Code::Busy))
    }

    /// The document of these facts, with the words of a model where they say the same.
    fn word(&self, facts: &Facts, polish: Option<&PolishRequest>) -> (Document, Source) {
        let templates = &self.reports.templates;
        let document = templates.generate(facts);
        let words = polish.and_then(|polish| self.ask(polish, templates.polish_prompt(&document)));
        let polished = words.and_then(|words| templates.polished(&document, &words));
        polished.map_or((document, Source::Template), |polished| (polished, Source::Model))
    }

    /// What the model makes of a text; `None` where it cannot be asked, or fails.
    fn ask(&self, request: &PolishRequest, PolishPrompt { instruction, text }: PolishPrompt) -> Option<String> {
        let (peer, disconnect) = (request.peer, request.disconnect.clone());
        let (session, received_at) = (self.key.lookup(), self.received_at);
        let (sender, receiver) = mpsc::sync_channel(1);
        let polish = Polish { session, peer, disconnect, received_at, instruction, text };
        request.turns.polish(polish, Box::new(move |words| _ = sender.send(words)));
        receiver.recv().ok().flatten()
    }

    /// The JSON of a report.
    pub(in crate::api) fn body(&self, report: &Report) -> ReportBody {
        ReportBody::new(self.session_id.clone(), &self.reports.templates, &self.listing, report)
    }

    /// Deletes a report.
    pub(super) fn delete(&self, id: Uuid) -> Result<(), Problem> {
        self.place(id)?;
        if self.store.reports.delete(self.key.lookup(), id)? { Ok(()) } else { Err(no_report()) }
    }
}

fn no_session() -> Problem {
    Problem::new(Code::SessionNotFound)
}

fn no_report() -> Problem {
    Problem::new(Code::ReportNotFound)
}

/// A responder that answers 503 if it is dropped: by a pool without a thread, or after too long a wait.
struct PendingResponder(Option<Responder>);

impl Drop for PendingResponder {
    fn drop(&mut self) {
        if let Some(responder) = self.0.take() {
            responder.respond(Err(Problem::new(Code::Busy)));
        }
    }
}
