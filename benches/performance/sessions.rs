//! The sessions in the database of one service, and whose ids a load is given.

use postgres::Client;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::rows::Shape;
use crate::work::Subjects;
use crate::{Outcome, Stop};

/// Sessions that are stored at once, so that a signal is noticed in between.
const PIECE: usize = 500_000;

/// Turns of a long history: 1,000 messages.
const LONG_TURNS: i32 = 500;

/// The sessions of one database. Those that a load creates are not among them, for nobody knows their ids afterwards.
pub(crate) struct Sessions {
    client: Client,
    shape: Shape,
    /// Those that no load was told to delete.
    ids: Vec<SessionId>,
    /// And those with a long history.
    histories: Vec<SessionId>,
}

impl Sessions {
    pub(crate) fn new(client: Client, shape: Shape) -> Sessions {
        Sessions { client, shape, ids: Vec::new(), histories: Vec::new() }
    }

    /// Makes the database as if it were new, but for that many sessions, and that many more with a long history.
    pub(crate) fn begin_anew(&mut self, count: usize, histories: usize) -> Outcome<()> {
        self.client.batch_execute("TRUNCATE sessions CASCADE")?;
        self.ids = self.store(count)?;
        self.histories = self.store(histories)?;
        for id in &self.histories {
            self.shape.store_turns(&mut self.client, id, LONG_TURNS)?;
        }
        // Otherwise PostgreSQL would plan for the table that it remembers, and look after the new one at some moment
        // of the measurement.
        Ok(self.client.batch_execute("VACUUM (ANALYZE) sessions, messages")?)
    }

    /// Stores very many sessions in a new, migrated database, with the index as it is after a rebuild.
    pub(crate) fn fill(&mut self, count: usize, stop: &Stop) -> Outcome<()> {
        // The primary key, and what refers to it, which cannot be there without it.
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
            let piece = self.store(PIECE.min(count - self.ids.len()))?;
            self.ids.extend(piece);
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

    /// The ids for a load, in no order. Sessions are added if there are too few. The database is not asked which there
    /// are, so that it does not find what it is about to be asked for in its memory.
    pub(crate) fn subjects(&mut self, wanted: &Subjects) -> Outcome<Vec<SessionId>> {
        let count = match *wanted {
            Subjects::Nobody => return Ok(Vec::new()),
            Subjects::New(count) => return self.store(count),
            Subjects::Histories => return Ok(self.histories.clone()),
            Subjects::Any(count) | Subjects::Once(count) => count,
        };
        let more = self.store(count.saturating_sub(self.ids.len()))?;
        self.ids.extend(more);
        // Those that are chosen by chance change places with the last ones.
        let kept = self.ids.len() - count;
        for place in (kept..self.ids.len()).rev() {
            self.ids.swap(place, random_below(place + 1));
        }
        Ok(match wanted {
            Subjects::Once(_) => self.ids.split_off(kept),
            _ => self.ids[kept..].to_vec(),
        })
    }

    /// Stores new sessions.
    fn store(&mut self, count: usize) -> Outcome<Vec<SessionId>> {
        let ids: Vec<SessionId> = (0..count).map(|_| SessionId::random()).collect();
        if count > 0 {
            self.shape.store_sessions(&mut self.client, &ids)?;
        }
        Ok(ids)
    }
}

/// A number by chance; that the first are a trifle more likely is no matter here.
fn random_below(end: usize) -> usize {
    let number = Uuid::new_v4().as_u128() % end as u128;
    usize::try_from(number).unwrap_or_default()
}
