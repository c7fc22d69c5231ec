//! The sessions in the database of one service, and the ids that a load gets.

use postgres::Client;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::rows::Format;
use crate::support::outcome::Outcome;
use crate::support::stop::StopSignal;
use crate::workload::SessionChoice;

/// Sessions per `COPY`; between two of them the bench checks for a signal.
const CHUNK: usize = 500_000;

/// Turns of a long history, two messages each.
const LONG_TURNS: i32 = 500;

/// The sessions of one database, without those that a load creates: their ids are in responses that nothing keeps.
pub(crate) struct Sessions {
    client: Client,
    format: Format,
    /// Sessions that no load has deleted.
    ids: Vec<SessionId>,
    /// Sessions with a long history.
    histories: Vec<SessionId>,
}

impl Sessions {
    pub(crate) fn new(client: Client, format: Format) -> Sessions {
        Sessions { client, format, ids: Vec::new(), histories: Vec::new() }
    }

    /// Replaces everything stored by `count` sessions, and by `histories` more with a long history.
    pub(crate) fn reset(&mut self, count: usize, histories: usize) -> Outcome<()> {
        self.client.batch_execute("TRUNCATE sessions CASCADE")?;
        self.ids = self.store(count)?;
        self.histories = self.store(histories)?;
        for id in &self.histories {
            self.format.store_turns(&mut self.client, id, LONG_TURNS)?;
        }
        // Without it, PostgreSQL plans with statistics of the old table, and autovacuum runs during the measurement.
        Ok(self.client.batch_execute("VACUUM (ANALYZE) sessions, messages")?)
    }

    /// Stores a large number of sessions in a new, migrated database, and builds the indexes after it.
    pub(crate) fn fill(&mut self, count: usize, stop: &StopSignal) -> Outcome<()> {
        // The primary key, and the foreign keys that depend on it.
        let constraints = self.client.query(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
                 format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
             FROM pg_constraint
             WHERE contype IN ('p', 'f') AND 'sessions'::regclass IN (conrelid, confrelid) ORDER BY contype DESC",
            &[],
        )?;
        self.client.batch_execute("SET maintenance_work_mem = '1GB'")?;
        for constraint in constraints.iter().rev() {
            self.client.batch_execute(constraint.get(0))?;
        }
        while self.ids.len() < count {
            let chunk = self.store(CHUNK.min(count - self.ids.len()))?;
            self.ids.extend(chunk);
            eprintln!("filling the large database: {} of {count} sessions", self.ids.len());
            stop.check()?;
        }
        let rebuilt = constraints.iter().map(|constraint| constraint.get(1));
        for statement in rebuilt.chain(["VACUUM (ANALYZE) sessions", "CHECKPOINT"]) {
            eprintln!("filling the large database: {statement}");
            self.client.batch_execute(statement)?;
            stop.check()?;
        }
        Ok(())
    }

    /// The ids for a load, in random order. Sessions are added if there are too few. The ids come from the bench's memory,
    /// because a query would bring the rows into PostgreSQL's cache.
    pub(crate) fn choose(&mut self, choice: &SessionChoice) -> Outcome<Vec<SessionId>> {
        let count = match *choice {
            SessionChoice::None => return Ok(Vec::new()),
            SessionChoice::New(count) => return self.store(count),
            SessionChoice::Histories => return Ok(self.histories.clone()),
            SessionChoice::Reused(count) | SessionChoice::Once(count) => count,
        };
        let more = self.store(count.saturating_sub(self.ids.len()))?;
        self.ids.extend(more);
        // The first steps of a Fisher-Yates shuffle, from the end.
        let kept = self.ids.len() - count;
        for index in (kept..self.ids.len()).rev() {
            self.ids.swap(index, random_below(index + 1));
        }
        Ok(match choice {
            SessionChoice::Once(_) => self.ids.split_off(kept),
            _ => self.ids[kept..].to_vec(),
        })
    }

    /// Stores new sessions.
    fn store(&mut self, count: usize) -> Outcome<Vec<SessionId>> {
        let ids: Vec<SessionId> = (0..count).map(|_| SessionId::random()).collect();
        if count > 0 {
            self.format.store_sessions(&mut self.client, &ids)?;
        }
        Ok(ids)
    }
}

/// A random number below `end`. The bias of the remainder is negligible: `end` is far below 2^122.
fn random_below(end: usize) -> usize {
    let number = Uuid::new_v4().as_u128() % end as u128;
    usize::try_from(number).unwrap_or_default()
}
