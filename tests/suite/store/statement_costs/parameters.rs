//! The parameters with which each statement is measured.

use postgres::types::{ToSql, Type};
use safespace::message::MIN_SEALED_BYTES;
use safespace::store::{MAX_READ_BYTES, MAX_REPORTS};
use uuid::Uuid;

/// Bytes of a short message.
pub(super) const SEALED_BYTES: i64 = 297;

/// A statement's parameters.
pub(super) type Parameters = Vec<(Box<dyn ToSql + Sync>, Type)>;

/// The session with this many messages.
pub(super) fn session(length: i32) -> Uuid {
    format!("80000000-0000-0000-0000-{length:012}").parse().unwrap()
}

/// The id of a message of such a session.
pub(super) fn message(position: i32) -> Uuid {
    format!("00000000-0000-4000-8000-{position:012}").parse().unwrap()
}

/// The parameters with which a statement is measured, in several variants, for a session of that length between others.
/// A statement without parameters here fails the test.
pub(super) fn parameters(file: &str, length: i32, rows: i32, others: &[Uuid]) -> Vec<Parameters> {
    let (session, middle) = (session(length), length / 2);
    let uuid = |value: Uuid| parameter(value, Type::UUID);
    let bytes = || vec![7_u8; 297];
    // One value for each session.
    let sessions = || parameter([&[session], others].concat(), Type::UUID_ARRAY);
    let ids = |of_session: Uuid| {
        let ids: Vec<Uuid> = others.iter().map(|_| Uuid::new_v4()).collect();
        parameter([&[of_session], ids.as_slice()].concat(), Type::UUID_ARRAY)
    };
    let integers = |of_session: i32, of_others: i32| {
        let all = [vec![of_session], vec![of_others; others.len()]].concat();
        parameter(all, Type::INT4_ARRAY)
    };
    let sealed = || parameter(vec![bytes(); others.len() + 1], Type::BYTEA_ARRAY);
    let before = |id: Option<Uuid>| parameter([vec![id], vec![None; others.len()]].concat(), Type::UUID_ARRAY);
    let max_bytes = || long(MAX_READ_BYTES.try_into().unwrap());
    let max_rows = || integer((MAX_READ_BYTES / MIN_SEALED_BYTES + 1).try_into().unwrap());
    let page_many = |id, limit| vec![sessions(), before(id), integers(limit, 1), max_bytes(), max_rows()];
    let page = |id: Option<Uuid>, limit| {
        vec![uuid(session), parameter(id, Type::UUID), integer(limit), max_bytes(), max_rows()]
    };
    let pages = [
        (None, rows),
        (None, 0),
        (Some(message(middle)), rows),
        (Some(message(length)), rows),
        (Some(Uuid::new_v4()), rows),
    ];
    let read_many = |(from, to)| vec![sessions(), integers(from, 1), integers(to, 1), max_bytes(), max_rows()];
    let read = |(from, to)| vec![uuid(session), integer(from), integer(to), max_bytes(), max_rows()];
    let reads = [(1, rows), (middle, middle + rows), (length - 1, length)];
    let small = [(i32::MAX, i64::MAX), (5, i64::MAX), (i32::MAX, 5)];
    let turns =
        [(message(middle), message(middle + 1)), (message(1), message(length)), (Uuid::new_v4(), Uuid::new_v4())];
    let next = length + 1;
    let total = |messages: i32| i64::from(messages) * SEALED_BYTES;
    match file {
        "messages/append.sql" => {
            let sealed = parameter(bytes(), Type::BYTEA);
            vec![vec![uuid(session), integer(next), uuid(Uuid::new_v4()), sealed, long(total(next))]]
        }
        "messages/append_many.sql" => {
            let totals = parameter([vec![total(next)], vec![total(2); others.len()]].concat(), Type::INT8_ARRAY);
            vec![vec![sessions(), integers(next, 2), ids(Uuid::new_v4()), sealed(), totals]]
        }
        "messages/ask.sql" => {
            let (sealed, claim) = (parameter(bytes(), Type::BYTEA), uuid(Uuid::new_v4()));
            vec![vec![uuid(session), integer(next), uuid(Uuid::new_v4()), sealed, long(total(next)), claim]]
        }
        "messages/ask_many.sql" => {
            let totals = parameter([vec![total(next)], vec![total(2); others.len()]].concat(), Type::INT8_ARRAY);
            let (questions, claims) = (ids(Uuid::new_v4()), ids(Uuid::new_v4()));
            vec![vec![sessions(), integers(next, 2), questions, sealed(), totals, claims]]
        }
        "messages/exchange.sql" => {
            let [question, answer] = [(); 2].map(|()| parameter(bytes(), Type::BYTEA));
            let of_question = [uuid(session), integer(next), uuid(Uuid::new_v4()), question, long(total(next))];
            vec![of_question.into_iter().chain([uuid(Uuid::new_v4()), answer, long(total(next + 1))]).collect()]
        }
        "messages/exchange_many.sql" => {
            let totals = || parameter([vec![total(next)], vec![total(2); others.len()]].concat(), Type::INT8_ARRAY);
            let of_questions = [sessions(), integers(next, 2), ids(Uuid::new_v4()), sealed(), totals()];
            vec![of_questions.into_iter().chain([ids(Uuid::new_v4()), sealed(), totals()]).collect()]
        }
        "messages/find.sql" => turns.map(|(question, answer)| vec![uuid(session), uuid(question), uuid(answer)]).into(),
        "messages/find_many.sql" => turns.map(|(question, answer)| vec![sessions(), ids(question), ids(answer)]).into(),
        "messages/page.sql" => pages.map(|(id, limit)| page(id, limit)).into(),
        "messages/page_many.sql" => pages.map(|(id, limit)| page_many(id, limit)).into(),
        "messages/read.sql" => reads.map(read).into(),
        "messages/read_many.sql" => reads.map(read_many).into(),
        "messages/recent.sql" => vec![vec![uuid(session), integer(rows), long(96_000)]],
        "messages/recent_many.sql" => vec![vec![sessions(), integer(rows), long(96_000)]],
        "reports/append.sql" => {
            let sealed = parameter(bytes(), Type::BYTEA);
            vec![vec![uuid(session), integer(3), uuid(Uuid::new_v4()), sealed, integer(MAX_REPORTS)]]
        }
        "reports/delete.sql" | "reports/find.sql" => vec![vec![uuid(session), uuid(message(1))]],
        "reports/list.sql" => vec![vec![uuid(session)]],
        "reports/replace.sql" => {
            let [before, after] = [vec![0_u8; 297], bytes()].map(|sealed| parameter(sealed, Type::BYTEA));
            vec![vec![uuid(session), uuid(message(1)), before, after]]
        }
        "reports/touch.sql" => vec![vec![uuid(session), parameter(bytes(), Type::BYTEA)]],
        "sessions/create.sql" => vec![vec![uuid(Uuid::new_v4()), parameter(bytes(), Type::BYTEA), integer(60)]],
        "sessions/create_many.sql" => vec![vec![ids(Uuid::new_v4()), sealed(), integers(60, 60)]],
        "sessions/delete.sql"
        | "sessions/find.sql"
        | "sessions/lock.sql"
        | "sessions/lock_to_change.sql"
        | "sessions/touch.sql" => vec![vec![uuid(session)]],
        "sessions/delete_many.sql"
        | "sessions/find_many.sql"
        | "sessions/lock_to_change_many.sql"
        | "sessions/touch_many.sql" => vec![vec![sessions()]],
        // The session is passed over, as one that is too large, in the second and the third variant.
        "sessions/erase.sql" | "sessions/lock_if_small.sql" => {
            small.map(|(messages, bytes)| vec![uuid(session), integer(messages), long(bytes)]).into()
        }
        "sessions/erase_many.sql" | "sessions/lock_many.sql" => {
            small.map(|(messages, bytes)| vec![sessions(), integer(messages), long(bytes)]).into()
        }
        "sessions/set_idle_timeout.sql" => vec![vec![uuid(session), integer(60)]],
        "sessions/set_idle_timeout_many.sql" => vec![vec![sessions(), integers(60, 60)]],
        "turns/claim.sql" => vec![vec![uuid(session), integer(next), uuid(Uuid::new_v4()), integer(1)]],
        "turns/release.sql" | "turns/renew.sql" | "turns/stop.sql" => vec![vec![uuid(session), uuid(session)]],
        "turns/release_many.sql" | "turns/renew_many.sql" | "turns/stop_many.sql" => vec![vec![sessions(), sessions()]],
        "turns/restore.sql" => vec![vec![uuid(session), integer(next), uuid(Uuid::new_v4())]],
        "turns/watch.sql" => vec![vec![sessions()]],
        file => panic!("{file} has no parameters in this test"),
    }
}

pub(super) fn integer(value: i32) -> (Box<dyn ToSql + Sync>, Type) {
    parameter(value, Type::INT4)
}

pub(super) fn long(value: i64) -> (Box<dyn ToSql + Sync>, Type) {
    parameter(value, Type::INT8)
}

pub(super) fn parameter(value: impl ToSql + Sync + 'static, of_type: Type) -> (Box<dyn ToSql + Sync>, Type) {
    (Box::new(value), of_type)
}
