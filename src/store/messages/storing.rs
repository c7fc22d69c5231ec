//! Stores messages: a question with the claim of its turn, an answer, or both together.

use std::collections::{HashMap, HashSet};

use postgres::types::Type;
use uuid::Uuid;

use crate::sealing::Lookup;
use crate::store::connection::Connection;
use crate::store::error::Error;
use crate::store::rows::Row;
use crate::store::statements::Parameter;

/// The result of [`super::Messages::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The message is durable.
    Stored,
    /// There is no such session.
    NoSession,
    /// Another message has this position, or the message is stored at another one.
    PositionTaken,
}

/// The question of a turn, to store.
pub struct NewQuestion {
    /// The session.
    pub session: Lookup,
    /// The message.
    pub row: Row,
    /// The claim of its turn.
    pub claim: Uuid,
}

/// The result of [`super::Messages::ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The question is durable, and its turn has the claim of the session.
    Stored,
    /// There is no such session.
    NoSession,
    /// Another turn has the claim, here or at another instance. Nothing is stored.
    Claimed,
    /// Another message has this position, or the message is stored at another one. The turn may have the claim.
    PositionTaken,
}

/// The question of a turn and its answer, to store together.
pub struct NewExchange {
    /// The session.
    pub session: Lookup,
    /// The question.
    pub question: Row,
    /// The answer, at the position behind the question.
    pub answer: Row,
}

/// The result of [`super::Messages::exchange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanged {
    /// Both messages are durable.
    Stored,
    /// There is no such session.
    NoSession,
    /// Another turn has the claim, another message has the position of the question, or the question is stored. Nothing was stored.
    Refused,
}

pub(super) fn ask(connection: &mut Connection, questions: &[NewQuestion]) -> Result<Vec<Asked>, Error> {
    let rows = if let [NewQuestion { session, row, claim }] = questions {
        // Planning the arrays takes longer than a single question needs.
        let [session, claim] = [session.expose(), claim].map(|id| (id as _, Type::UUID));
        let (position, id) = ((&row.position as _, Type::INT4), (&row.id as _, Type::UUID));
        let [sealed, total] = [(&row.sealed as _, Type::BYTEA), (&row.total_bytes as _, Type::INT8)];
        connection
            .query(include_str!("../../../sql/messages/ask.sql"), &[session, position, id, sealed, total, claim])?
    } else {
        let columns = Columns::new(questions.iter().map(|question| (&question.session, &question.row)));
        let claims: Vec<&Uuid> = questions.iter().map(|question| &question.claim).collect();
        let parameters = [columns.parameters().as_slice(), &[(&claims as _, Type::UUID_ARRAY)]].concat();
        connection.query(include_str!("../../../sql/messages/ask_many.sql"), &parameters)?
    };
    let found: HashMap<Uuid, &postgres::Row> = rows.iter().map(|row| (row.get("session_id"), row)).collect();
    let outcome = |question: &NewQuestion| match found.get(question.session.expose()) {
        None => Asked::NoSession,
        Some(row) if !row.get::<_, bool>("is_claimed") => Asked::Claimed,
        Some(row) if !row.get::<_, bool>("is_stored") => Asked::PositionTaken,
        Some(_) => Asked::Stored,
    };
    Ok(questions.iter().map(outcome).collect())
}

/// The same for tables that are distributed, where one statement cannot write to two of them. The message comes first: its foreign
/// key locks the session, which a delete has locked before it waits for a claim.
pub(super) fn ask_distributed(connection: &mut Connection, questions: &[NewQuestion]) -> Result<Vec<Asked>, Error> {
    let ask_one = |NewQuestion { session, row, claim }: &NewQuestion| {
        let [session, claim] = [session.expose(), claim].map(|id| (id as _, Type::UUID));
        let [position, behind_question] = [&row.position, &1_i32].map(|number| (number as _, Type::INT4));
        let [sealed, total] = [(&row.sealed as _, Type::BYTEA), (&row.total_bytes as _, Type::INT8)];
        let message = [session.clone(), position.clone(), (&row.id as _, Type::UUID), sealed, total];
        let (append, take) =
            (include_str!("../../../sql/messages/append.sql"), include_str!("../../../sql/turns/claim.sql"));
        let result = connection.transaction_if(|transaction| {
            let is_stored = !transaction.query(append, &message)?.is_empty();
            let is_claimed = !transaction.query(take, &[session, position, claim, behind_question])?.is_empty();
            Ok((is_stored && is_claimed, (is_stored, is_claimed)))
        });
        match result {
            Ok((true, true)) => Ok(Asked::Stored),
            Ok((_, false)) => Ok(Asked::Claimed),
            Ok((false, true)) => Ok(Asked::PositionTaken),
            Err(Error::NoSession) => Ok(Asked::NoSession),
            Err(error) => Err(error),
        }
    };
    questions.iter().map(ask_one).collect()
}

pub(super) fn append(connection: &mut Connection, messages: &[(Lookup, Row)]) -> Result<Vec<Appended>, Error> {
    let rows = if let [(session, Row { position, id, sealed, total_bytes })] = messages {
        let (session, position) = ((session.expose() as _, Type::UUID), (position as _, Type::INT4));
        let [sealed, total] = [(sealed as _, Type::BYTEA), (total_bytes as _, Type::INT8)];
        let statement = include_str!("../../../sql/messages/append.sql");
        match connection.query(statement, &[session, position, (id, Type::UUID), sealed, total]) {
            Err(Error::NoSession) => return Ok(vec![Appended::NoSession]),
            rows => rows?,
        }
    } else {
        let columns = Columns::new(messages.iter().map(|(session, row)| (session, row)));
        connection.query(include_str!("../../../sql/messages/append_many.sql"), &columns.parameters())?
    };
    let stored: HashSet<(Uuid, Uuid)> = rows.iter().map(|row| (row.get("session_id"), row.get("id"))).collect();
    let outcome = |(session, row): &(Lookup, Row)| {
        if stored.contains(&(*session.expose(), row.id)) { Appended::Stored } else { Appended::PositionTaken }
    };
    Ok(messages.iter().map(outcome).collect())
}

pub(super) fn exchange(connection: &mut Connection, turns: &[NewExchange]) -> Result<Vec<Exchanged>, Error> {
    let rows = if let [NewExchange { session, question, answer }] = turns {
        let [session, question_id, answer_id] =
            [session.expose(), &question.id, &answer.id].map(|id| (id as _, Type::UUID));
        let position = (&question.position as _, Type::INT4);
        let [sealed, answer_sealed] = [question, answer].map(|row| (&row.sealed as _, Type::BYTEA));
        let [total, answer_total] = [question, answer].map(|row| (&row.total_bytes as _, Type::INT8));
        let parameters = [session, position, question_id, sealed, total, answer_id, answer_sealed, answer_total];
        connection.query(include_str!("../../../sql/messages/exchange.sql"), &parameters)?
    } else {
        let questions = Columns::new(turns.iter().map(|turn| (&turn.session, &turn.question)));
        let answers = Columns::new(turns.iter().map(|turn| (&turn.session, &turn.answer)));
        let [_, _, ids, sealed, totals] = answers.parameters();
        let parameters = [questions.parameters().as_slice(), &[ids, sealed, totals]].concat();
        connection.query(include_str!("../../../sql/messages/exchange_many.sql"), &parameters)?
    };
    let found: HashMap<Uuid, bool> = rows.iter().map(|row| (row.get("session_id"), row.get("is_stored"))).collect();
    let outcome = |turn: &NewExchange| match found.get(turn.session.expose()) {
        None => Exchanged::NoSession,
        Some(true) => Exchanged::Stored,
        Some(false) => Exchanged::Refused,
    };
    Ok(turns.iter().map(outcome).collect())
}

/// The columns of several messages, one value per message in each.
struct Columns<'a> {
    sessions: Vec<&'a Uuid>,
    positions: Vec<i32>,
    ids: Vec<&'a Uuid>,
    sealed: Vec<&'a [u8]>,
    totals: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn new(messages: impl Iterator<Item = (&'a Lookup, &'a Row)> + Clone) -> Columns<'a> {
        Columns {
            sessions: messages.clone().map(|(session, _)| session.expose()).collect(),
            positions: messages.clone().map(|(_, row)| row.position).collect(),
            ids: messages.clone().map(|(_, row)| &row.id).collect(),
            sealed: messages.clone().map(|(_, row)| row.sealed.as_slice()).collect(),
            totals: messages.map(|(_, row)| row.total_bytes).collect(),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 5] {
        [
            (&self.sessions, Type::UUID_ARRAY),
            (&self.positions, Type::INT4_ARRAY),
            (&self.ids, Type::UUID_ARRAY),
            (&self.sealed, Type::BYTEA_ARRAY),
            (&self.totals, Type::INT8_ARRAY),
        ]
    }
}
