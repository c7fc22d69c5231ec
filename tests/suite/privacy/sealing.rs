//! The sealed format: test vectors from another implementation, and bytes that must not open.

use chrono::DateTime;
use proptest::prelude::*;
use safespace::message::{self, Message, Role};
use safespace::report::Report;
use safespace::sealing::{AssociatedData, OpenError, Part, SealingKey};
use safespace::session_id::SessionId;
use uuid::Uuid;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";
const OTHER_ID: &str = "550e8400-e29b-41d4-a716-446655440001";

/// Output of `tests/sealing_vectors.py`, for [`ID`].
const LOOKUP: &str = "04c912db-3826-801d-941f-c05547449da6";
const QUESTION: &str = "a780c8ad-7f1c-8df3-b1df-615242395c69";
const ANSWER: &str = "557885f6-a0df-88bb-b968-59273f500e61";
const SESSION: &str =
    "01000102030405060708090a0b0c0d0e0f1011121314151617db1017c5ccdfb2a5eb783de31949fe0e49d560d9024b3631";
const MESSAGE: &str = "01000102030405060708090a0b0c0d0e0f1011121314151617db165add981f540458c674bb154f76331348824cd7aef4e362\
    3d0d7f2cacd8ec3d120bd21bf3497430a8af7e143e64bdd8feca0213a568a6cdc4d91904a543d07c2144d47dabbc5531fee9\
    7e1b2b0e7ab5381199d9cfec2a52a0ac930c0b1f71ee784e9b58e4737a29db6fea6dbade5b291073b84029c22c5743b2085c\
    701ab43ba05d617b6e19c82ae1f00c12241278e54850b3fe0889a3a25fbd59790c43b38edc558ad990726a9bb56b130ebfc6\
    003cff8724ed4e7948daa1af30ad9a57eb9b16e817f29eee55005d51939926c9bbb7adc11525c22a3b5840143b23200d992b\
    698b5107bdf7c3228921b25d2a2428a9d44f815dc44571bda53f84eb64250a8a32c58a4b9eec9b90f9564d41aca799";

/// The bytes of `words` in the row of a report.
const REPORT: &str = "01000102030405060708090a0b0c0d0e0f1011121314151617ac792ef2b88c47b80a97167718e3acb5adf990625f";
const LAST_REPORT: &str =
    "01000102030405060708090a0b0c0d0e0f1011121314151617db1017c5ccdfb2a568eb31e486cba6ce689535799c355d34";

fn key_of(id: &str) -> SealingKey {
    SealingKey::derive(&id.parse().unwrap())
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn message(text: &str) -> Message {
    let id = key_of(ID).message_id(Part::Question, b"key");
    Message { id, position: 7, role: Role::User, created_at: message::now(), text: text.to_owned(), is_cut: false }
}

#[test]
fn derived_ids_equal_those_of_another_implementation() {
    let key = key_of(ID);
    assert_eq!(key.lookup().expose().to_string(), LOOKUP);
    assert_eq!(ID.parse::<SessionId>().unwrap().lookup(), key.lookup());
    assert_eq!(key.message_id(Part::Question, b"key").to_string(), QUESTION);
    assert_eq!(key.message_id(Part::Answer, b"key").to_string(), ANSWER);
}

#[test]
fn bytes_sealed_by_another_implementation_open() {
    let key = key_of(ID);
    let created_at = DateTime::parse_from_rfc3339("2026-02-21T10:30:45.123456Z").unwrap();
    assert_eq!(message::open_creation_time(&key, &from_hex(SESSION)).unwrap(), created_at);
    let opened = Message::open(&key, QUESTION.parse().unwrap(), 7, &from_hex(MESSAGE)).unwrap();
    assert_eq!((opened.text.as_str(), opened.role), ("Aku takut \u{1f622}", Role::User));
    assert_eq!(opened.created_at, created_at);
    assert!(!opened.is_cut, "the other implementation knows no cut messages");
    let report = AssociatedData::Report { id: QUESTION.parse().unwrap(), position: 7 };
    assert_eq!(key.open(report, &from_hex(REPORT)).unwrap().as_slice(), b"words");
    assert_eq!(message::open_last_report(&key, &from_hex(LAST_REPORT)).unwrap(), created_at);
}

#[test]
fn sealed_bytes_open_only_with_their_own_key_and_associated_data() {
    let (key, id) = (key_of(ID), Uuid::new_v4());
    let data = AssociatedData::Message { id, position: 1 };
    let sealed = key.seal(data, b"words");
    assert_eq!(key.open(data, &sealed).unwrap().as_slice(), b"words");
    for (case, other) in [
        ("the row of the session", AssociatedData::Session),
        ("another position", AssociatedData::Message { id, position: 2 }),
        ("a report with the same id", AssociatedData::Report { id, position: 1 }),
        ("the time of a report", AssociatedData::LastReport),
        ("another message", AssociatedData::Message { id: Uuid::new_v4(), position: 1 }),
    ] {
        assert_eq!(key.open(other, &sealed), Err(OpenError), "{case}");
    }
    assert_eq!(key_of(OTHER_ID).open(data, &sealed), Err(OpenError), "another session");
}

#[test]
fn sealed_bytes_with_a_flipped_bit_or_a_missing_byte_do_not_open() {
    let key = key_of(ID);
    let sealed = key.seal(AssociatedData::Session, b"words");
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.open(AssociatedData::Session, &changed), Err(OpenError), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(key.open(AssociatedData::Session, &sealed[..length]), Err(OpenError), "{length} bytes");
    }
}

#[test]
fn sealing_the_same_message_again_uses_another_nonce() {
    let key = key_of(ID);
    let message = message("the same words");
    let sealed: Vec<Vec<u8>> = (0..100).map(|_| message.seal(&key)).collect();
    for (number, one) in sealed.iter().enumerate() {
        assert_eq!(one[0], 1, "the version comes first");
        assert!(sealed[..number].iter().all(|other| other[1..25] != one[1..25]), "nonce {number} is a repetition");
    }
}

#[test]
fn message_ids_depend_on_session_part_and_idempotency_key() {
    let (key, other) = (key_of(ID), key_of(OTHER_ID));
    let ids = [
        ("the question", key.message_id(Part::Question, b"key")),
        ("the answer", key.message_id(Part::Answer, b"key")),
        ("another key", key.message_id(Part::Question, b"key2")),
        ("an empty key", key.message_id(Part::Question, b"")),
        ("another session", other.message_id(Part::Question, b"key")),
    ];
    for (number, (case, id)) in ids.iter().enumerate() {
        assert!(ids[..number].iter().all(|(_, other)| other != id), "{case}");
        assert_eq!(id.get_version_num(), 8, "{case}");
    }
}

#[test]
fn sealed_messages_are_padded_to_powers_of_two() {
    let key = key_of(ID);
    let length = |characters: usize| message(&"x".repeat(characters)).seal(&key).len();
    for (characters, padded) in [(1, 256), (243, 256), (244, 512), (499, 512), (500, 1024), (4096, 8192)] {
        // Version, nonce and tag come on top.
        assert_eq!(length(characters), 1 + 24 + padded + 16, "{characters} characters");
    }
}

#[test]
fn printing_a_lookup_or_an_open_error_reveals_nothing() {
    assert_eq!(format!("{:?}", key_of(ID).lookup()), "Lookup(<redacted>)");
    assert!(!format!("{OpenError:?} {OpenError}").contains(ID));
}

proptest! {
    #[test]
    fn any_message_opens_to_what_was_sealed(text in any::<String>(), position in 1..i32::MAX, micros in 0..4_000_000_000_000_000_i64) {
        let key = key_of(ID);
        let created_at = DateTime::from_timestamp_micros(micros).unwrap();
        for (role, is_cut) in [(Role::User, false), (Role::Model, true), (Role::Script, false)] {
            let message = Message { id: Uuid::new_v4(), position, role, created_at, text: text.clone(), is_cut };
            let opened = Message::open(&key, message.id, position, &message.seal(&key)).unwrap();
            prop_assert!(opened.text == text && opened.role == role && opened.is_cut == is_cut);
            prop_assert!(opened.created_at == created_at);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_open(sealed in any::<Vec<u8>>()) {
        prop_assert!(Message::open(&key_of(ID), Uuid::nil(), 1, &sealed).is_err());
        prop_assert!(message::open_creation_time(&key_of(ID), &sealed).is_err());
        prop_assert!(message::open_last_report(&key_of(ID), &sealed).is_err());
        prop_assert!(Report::open(&key_of(ID), Uuid::nil(), 1, &sealed).is_err());
    }
}
