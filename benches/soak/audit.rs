//! The auditor: while the load goes on, asks the service and the tables whether the promises hold.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use postgres::{Client, Config, NoTls};
use uuid::Uuid;

use crate::chance;
use crate::people::{Ending, Session};
use crate::promises::Promise;
use crate::requests::From;
use crate::shared::Shared;
use crate::stored;
use crate::support::outcome::Outcome;
use crate::support::stop::StopSignal;
use crate::tally::Kind;
use crate::visitor::{Found, Visitor};

/// So long before and after its end a session is asked for.
const AROUND_THE_END: TimeDelta = TimeDelta::milliseconds(1_500);

/// What ended is made so much older: more than the hour of its end, and the hour and ten minutes that the sweeper adds. The others
/// of a hundred wait for their time.
const HOURS_OLDER: i32 = 3;
const MADE_OLDER_PERCENT: usize = 70;

/// From one audit of the tables to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// Kills that are longer ago delay no sweep.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Erased sessions that an audit looks at: the last ones, and others by chance.
const NEWEST: usize = 300;
const BY_CHANCE: usize = 300;

/// People that are looked at after a kill: those who did something just before.
const AFTER_A_KILL: usize = 100;

pub(crate) struct Auditor<'a> {
    visitor: Visitor<'a>,
    shared: &'a Shared,
    connect: Config,
    /// Not there while PostgreSQL is away.
    sql: Option<Client>,
    /// Kills whose consequences were looked at.
    kills: usize,
}

impl<'a> Auditor<'a> {
    pub(crate) fn new(shared: &'a Shared, connect: Config) -> Auditor<'a> {
        Auditor { visitor: Visitor::new(shared), shared, connect, sql: None, kills: 0 }
    }

    /// Audits until the load is over.
    pub(crate) fn run(&mut self) {
        let mut next_audit = Instant::now() + INTERVAL;
        while self.shared.wait_until(Instant::now() + Duration::from_secs(1)) {
            self.attend_endings();
            if self.shared.kills().len() > self.kills {
                self.kills = self.shared.kills().len();
                self.look_after_a_kill();
            }
            for session in self.shared.people.sample_erased(1, 2) {
                self.visitor.verify_erased(Ipv4Addr::LOCALHOST, &session);
            }
            if Instant::now() >= next_audit {
                next_audit = Instant::now() + INTERVAL;
                let erased = self.shared.people.sample_erased(NEWEST, BY_CHANCE);
                self.audit_tables(&erased);
            }
        }
    }

    /// Looks at everything once, when the load is over: each session, and each that was erased.
    pub(crate) fn finish(&mut self, deadline: Instant, stop: &StopSignal) -> Outcome<()> {
        while let Some(person) = self.shared.people.take_newest(1).pop() {
            stop.check()?;
            if Instant::now() > deadline {
                return Err("there was no time to look at all sessions at the end".into());
            }
            if !person.may_be_erased && !self.visitor.verify_surely(&person) {
                self.shared.promises.check(Promise::Kept, ["a session could not be read at the end".to_owned()]);
            }
        }
        let erased = self.shared.people.all_erased();
        for session in &erased {
            self.visitor.verify_erased(Ipv4Addr::LOCALHOST, session);
        }
        self.audit_tables(&erased);
        Ok(())
    }

    /// Who did something just before a kill has lost nothing.
    fn look_after_a_kill(&mut self) {
        for person in self.shared.people.take_newest(AFTER_A_KILL) {
            if !person.may_be_erased {
                self.visitor.verify_surely(&person);
            }
            self.shared.people.rest(person);
        }
        for session in self.shared.people.sample_erased(AFTER_A_KILL, 0) {
            self.visitor.verify_erased(Ipv4Addr::LOCALHOST, &session);
        }
    }

    /// Sessions that end by themselves: there until their end, then 404, then swept.
    fn attend_endings(&mut self) {
        let endings = std::mem::take(&mut *self.shared.people.ending.lock());
        let mut left = Vec::new();
        for mut ending in endings {
            if self.attend(&mut ending) {
                left.push(ending);
            }
        }
        self.shared.people.ending.lock().append(&mut left);
    }

    /// False when nothing is left to look at.
    fn attend(&mut self, ending: &mut Ending) -> bool {
        if let Some(since) = ending.swept_from {
            // Not each second: there are many.
            return chance::below(5) > 0 || self.is_unswept(&ending.session, since);
        }
        let (before, after) = (ending.ends_at - AROUND_THE_END, ending.ends_at + AROUND_THE_END);
        if Utc::now() < before && chance::below(60) > 0 {
            return true;
        }
        let from = From { address: Ipv4Addr::LOCALHOST, session: Some(&ending.session.id) };
        let asked_at = Utc::now();
        let found = self.visitor.find(Kind::Session, from, "/api/v1/session", "application/json");
        let fault = match found {
            Found::NotKnown => return true,
            Found::Gone if asked_at < before && Utc::now() < before => Some("a session is 404 before its end"),
            Found::There(_) if asked_at > after => Some("a session is there after its end"),
            Found::Gone | Found::There(_) => None,
        };
        self.shared.promises.check(Promise::Ended, fault.map(str::to_owned));
        if asked_at <= after {
            return true;
        }
        if chance::percent(MADE_OLDER_PERCENT) {
            let lookup = [ending.session.lookup];
            let made = self.ask(|sql| stored::make_older(sql, &lookup, HOURS_OLDER));
            ending.swept_from = made.map(|()| Instant::now());
            return true;
        }
        false
    }

    fn is_unswept(&mut self, session: &Session, since: Instant) -> bool {
        let Some(rows) = self.ask(|sql| stored::rows_of(sql, &[session.lookup])) else { return true };
        if rows == 0 {
            self.shared.promises.check(Promise::Swept, []);
            return false;
        }
        let is_late = since.elapsed() > self.shared.time_to_sweep(since);
        if is_late {
            self.shared.promises.check(Promise::Swept, ["a session that ended is not swept in time".to_owned()]);
        }
        !is_late
    }

    fn audit_tables(&mut self, erased: &[Session]) {
        let lookups: Vec<Uuid> = erased.iter().map(|session| session.lookup).collect();
        if let Some(rows) = self.ask(|sql| stored::rows_of(sql, &lookups)) {
            let fault = (rows > 0).then(|| format!("{rows} rows of erased sessions are stored"));
            self.shared.promises.check(Promise::Erased, fault);
        }
        if let Some(orphans) = self.ask(stored::orphans) {
            let fault = (orphans > 0).then(|| format!("{orphans} rows have no session"));
            self.shared.promises.check(Promise::Whole, fault);
        }
        let allowed = self.shared.time_to_sweep(Instant::now() - LONGEST_WAIT).as_secs_f64();
        if let Some(overdue) = self.ask(|sql| stored::overdue(sql, allowed, HOURS_OLDER)) {
            let fault = (overdue > 0).then(|| format!("{overdue} sessions that ended are not swept in time"));
            self.shared.promises.check(Promise::Swept, fault);
        }
    }

    /// The answer of PostgreSQL; `None` while it is away. That it refuses a statement is a fault.
    fn ask<T>(&mut self, question: impl FnOnce(&mut Client) -> Result<T, postgres::Error>) -> Option<T> {
        let mut client = self.sql.take().or_else(|| self.connect.connect(NoTls).ok())?;
        let answer = question(&mut client).map_err(|error| {
            // A server that is killed tells its clients (57P01 to 57P03), or only closes the connection.
            let refusal = error.as_db_error().filter(|refusal| !refusal.code().code().starts_with("57P"));
            self.shared
                .promises
                .check(Promise::Sound, refusal.map(|refusal| format!("PostgreSQL refused: {}", refusal.message())));
        });
        let answer = answer.ok()?;
        self.sql = Some(client);
        Some(answer)
    }
}
