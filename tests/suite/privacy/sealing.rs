//! How what is stored is sealed: vectors from another implementation, and what must not open.

use chrono::DateTime;
use proptest::prelude::*;
use safespace::conversation::{self, Message, Role};
use safespace::sealing::{Part, Place, Seal, Unreadable};
use safespace::session_id::SessionId;
use uuid::Uuid;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// What `tests/sealing_vectors.py` prints.
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

fn seal_of(id: &str) -> Seal {
    Seal::of(&id.parse().unwrap())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn message(text: &str) -> Message {
    let id = seal_of(ID).message_id(Part::Question, b"key");
    Message { id, position: 7, role: Role::Person, created_at: conversation::now(), text: text.to_owned() }
}

#[test]
fn ids_and_keys_are_derived_as_another_implementation_derives_them() {
    let seal = seal_of(ID);
    assert_eq!(seal.lookup().expose().to_string(), LOOKUP);
    assert_eq!(ID.parse::<SessionId>().unwrap().lookup(), seal.lookup());
    assert_eq!(seal.message_id(Part::Question, b"key").to_string(), QUESTION);
    assert_eq!(seal.message_id(Part::Answer, b"key").to_string(), ANSWER);
}

#[test]
fn what_another_implementation_sealed_opens() {
    let seal = seal_of(ID);
    let created_at = DateTime::parse_from_rfc3339("2026-02-21T10:30:45.123456Z").unwrap();
    assert_eq!(conversation::open_creation(&seal, &bytes(SESSION)).unwrap(), created_at);
    let opened = Message::open(&seal, QUESTION.parse().unwrap(), 7, &bytes(MESSAGE)).unwrap();
    assert_eq!((opened.text.as_str(), opened.role), ("Aku takut \u{1f622}", Role::Person));
    assert_eq!(opened.created_at, created_at);
}

#[test]
fn what_was_sealed_opens_nowhere_but_at_its_place() {
    let (seal, other) = (seal_of(ID), seal_of("550e8400-e29b-41d4-a716-446655440001"));
    let id = Uuid::new_v4();
    let place = Place::Message { id, position: 1 };
    let sealed = seal.seal(place, b"words");
    assert_eq!(seal.open(place, &sealed).unwrap().as_slice(), b"words");
    let elsewhere =
        [Place::Session, Place::Message { id, position: 2 }, Place::Message { id: Uuid::new_v4(), position: 1 }];
    for (number, elsewhere) in elsewhere.into_iter().enumerate() {
        assert_eq!(seal.open(elsewhere, &sealed), Err(Unreadable), "place {number}");
    }
    assert_eq!(other.open(place, &sealed), Err(Unreadable));
}

#[test]
fn no_bit_of_what_was_sealed_can_be_changed_and_no_byte_left_out() {
    let seal = seal_of(ID);
    let sealed = seal.seal(Place::Session, b"words");
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(seal.open(Place::Session, &changed), Err(Unreadable), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(seal.open(Place::Session, &sealed[..length]), Err(Unreadable), "{length} bytes");
    }
}

#[test]
fn the_same_words_are_never_sealed_the_same_way_twice() {
    let seal = seal_of(ID);
    let message = message("the same words");
    let sealed: Vec<Vec<u8>> = (0..100).map(|_| message.seal(&seal)).collect();
    for (at, one) in sealed.iter().enumerate() {
        // The version leads, the nonce follows.
        assert_eq!(one[0], 1);
        assert!(sealed[..at].iter().all(|other| other[1..25] != one[1..25]), "a nonce came twice");
    }
}

#[test]
fn the_ids_of_messages_depend_on_the_session_the_part_and_the_key() {
    let (seal, other) = (seal_of(ID), seal_of("550e8400-e29b-41d4-a716-446655440001"));
    let ids = [
        seal.message_id(Part::Question, b"key"),
        seal.message_id(Part::Answer, b"key"),
        seal.message_id(Part::Question, b"key2"),
        seal.message_id(Part::Question, b""),
        other.message_id(Part::Question, b"key"),
    ];
    for (at, id) in ids.iter().enumerate() {
        assert!(!ids[..at].contains(id));
        assert_eq!(id.get_version_num(), 8);
    }
}

#[test]
fn the_length_of_what_is_sealed_is_one_of_few() {
    let seal = seal_of(ID);
    let length = |characters: usize| message(&"x".repeat(characters)).seal(&seal).len();
    // The version, the nonce and the tag come on top.
    for (characters, padded) in [(1, 256), (243, 256), (244, 512), (499, 512), (500, 1024), (4096, 8192)] {
        assert_eq!(length(characters), 1 + 24 + padded + 16, "{characters} characters");
    }
}

#[test]
fn neither_a_lookup_nor_a_failure_to_open_says_anything() {
    let seal = seal_of(ID);
    assert_eq!(format!("{:?}", seal.lookup()), "Lookup(<redacted>)");
    assert!(!format!("{:?} {}", Unreadable, Unreadable).contains(ID));
}

proptest! {
    #[test]
    fn any_message_opens_as_it_was(text in any::<String>(), position in 1..i32::MAX, micros in 0..4_000_000_000_000_000_i64) {
        let seal = seal_of(ID);
        let created_at = DateTime::from_timestamp_micros(micros).unwrap();
        for role in [Role::Person, Role::Companion, Role::Script] {
            let message = Message { id: Uuid::new_v4(), position, role, created_at, text: text.clone() };
            let opened = Message::open(&seal, message.id, position, &message.seal(&seal)).unwrap();
            prop_assert!(opened.text == text && opened.role == role && opened.created_at == created_at);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_open(sealed in any::<Vec<u8>>()) {
        prop_assert!(Message::open(&seal_of(ID), Uuid::nil(), 1, &sealed).is_err());
        prop_assert!(conversation::open_creation(&seal_of(ID), &sealed).is_err());
    }
}
