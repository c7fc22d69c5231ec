//! A session's id as a code that a person can write down: its 122 random bits and a checksum, in Crockford's base 32.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Crockford's base 32: without I, L and O, which look like digits, and without U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Symbols of a code: the 122 random bits of a `UUIDv4` and 18 bits of a checksum, five bits each.
const LENGTH: usize = 28;

/// Symbols between two hyphens.
const GROUP: usize = 4;

/// Bits of the checksum. A mistake that it misses is another id, which in all likelihood nobody has.
const CHECKSUM_BITS: u32 = 18;

/// A session's recovery code: `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`.
///
/// It is as secret as the id, so it has no `Display` and its `Debug` is redacted.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// The code of a `UUIDv4`. What is fixed in every one of these is not in the code.
    pub(super) fn of(id: &Uuid) -> RecoveryCode {
        let checksum = checksum(id);
        let id = id.as_u128();
        let random = (id >> 80) << 74 | (id >> 64 & 0xfff) << 62 | id & ((1 << 62) - 1);
        let mut code = String::with_capacity(LENGTH + LENGTH / GROUP);
        for index in 0..LENGTH {
            if index > 0 && index % GROUP == 0 {
                code.push('-');
            }
            // The first 24 symbols have 120 of the random bits, the others the last two and the checksum.
            let rest = (random & 3) << CHECKSUM_BITS | u128::from(checksum);
            let bits = if index < 24 { random >> (117 - 5 * index) } else { rest >> (135 - 5 * index) };
            code.push(char::from(SYMBOLS[(bits & 31) as usize]));
        }
        RecoveryCode(code)
    }

    /// The text, to show it to the person whose session it is.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecoveryCode(<redacted>)")
    }
}

/// The id of a code as a person types it: in either case, with any spaces and hyphens, with I and L for 1 and O for 0. `None` if
/// it has another length, another symbol or a wrong checksum.
pub(super) fn decode(text: &str) -> Option<Uuid> {
    let (mut random, mut rest, mut length) = (0_u128, 0_u32, 0);
    for character in text.chars().filter(|character| !is_separator(*character)) {
        let value = value_of(character)?;
        match length {
            0..24 => random = random << 5 | u128::from(value),
            24..LENGTH => rest = rest << 5 | value,
            _ => return None,
        }
        length += 1;
    }
    if length != LENGTH {
        return None;
    }
    random = random << 2 | u128::from(rest >> CHECKSUM_BITS);
    let id = (random >> 74) << 80 | (random >> 62 & 0xfff) << 64 | random & ((1 << 62) - 1);
    // It sets the bits of the version and the variant.
    let id = Builder::from_random_bytes(id.to_be_bytes()).into_uuid();
    (checksum(&id) == rest & ((1 << CHECKSUM_BITS) - 1)).then_some(id)
}

/// Spaces, hyphens, and the dashes that phones and text processors write for these.
fn is_separator(character: char) -> bool {
    character.is_whitespace() || "-\u{2010}\u{2011}\u{2013}\u{2014}".contains(character)
}

fn value_of(character: char) -> Option<u32> {
    let symbol = match character.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    (0..).zip(SYMBOLS).find_map(|(value, own)| (char::from(*own) == symbol).then_some(value))
}

/// The first bits of the SHA-256 of the id.
fn checksum(id: &Uuid) -> u32 {
    let hash = Sha256::digest(id.as_bytes());
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) >> (32 - CHECKSUM_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ids for tests that count.
    fn sample() -> impl Iterator<Item = Uuid> {
        (0_u32..100).map(|number| {
            let hash = Sha256::digest(number.to_be_bytes());
            Builder::from_random_bytes(hash[..16].try_into().expect("16 bytes")).into_uuid()
        })
    }

    fn symbols(id: &Uuid) -> Vec<u8> {
        RecoveryCode::of(id).expose().replace('-', "").into_bytes()
    }

    fn decode_symbols(symbols: &[u8]) -> Option<Uuid> {
        decode(str::from_utf8(symbols).expect("symbols are ASCII"))
    }

    proptest! {
        #[test]
        fn a_code_leads_back_to_its_id(bytes: [u8; 16]) {
            let id = Builder::from_random_bytes(bytes).into_uuid();
            let code = RecoveryCode::of(&id);
            prop_assert_eq!(code.expose().len(), 34);
            prop_assert_eq!(decode(code.expose()), Some(id));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = decode(&text);
        }
    }

    #[test]
    fn the_code_of_an_id_is_the_same_in_every_version() {
        for (id, code) in [
            ("38ccd37d-31aa-4704-a189-5cc43fd3988c", "736D-6Z9H-N9R4-GRJQ-647Z-9SH3-6Y52"),
            ("550e8400-e29b-41d4-a716-446655440000", "AM78-8072-KCEM-KHCH-36AN-2000-6EX0"),
            ("ab2d5a1f-92fb-44e1-b37c-3c1c2b4a65f0", "NCPN-M7WJ-ZD71-SQRF-0W5D-56BW-40FZ"),
            ("00000000-0000-4000-8000-000000000000", "0000-0000-0000-0000-0000-0000-4K32"),
            ("ffffffff-ffff-4fff-bfff-ffffffffffff", "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-YBSM"),
        ] {
            assert_eq!(RecoveryCode::of(&id.parse().expect("a UUID")).expose(), code, "{id}");
        }
    }

    #[test]
    fn a_code_is_read_as_a_person_types_it() {
        let id: Uuid = "38ccd37d-31aa-4704-a189-5cc43fd3988c".parse().expect("a UUID");
        let code = RecoveryCode::of(&id).expose().to_owned();
        for typed in [
            code.to_lowercase(),
            code.replace('-', ""),
            code.replace('-', " "),
            code.replace('-', " \u{2013} "),
            code.replace('0', "o").replace('1', "l"),
            code.replace('0', "O").replace('1', "I"),
            format!("\t{code}\u{a0}\r\n"),
        ] {
            assert_eq!(decode(&typed), Some(id), "{typed}");
        }
        for wrong in [
            &code[1..],
            &code[..33],
            &format!("{code}0"),
            &code.replace('-', "_"),
            &format!("U{}", &code[1..]),
            &format!("é{}", &code[1..]),
            "38ccd37d-31aa-4704-a189-5cc43fd3988c",
            "",
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    /// 18 bits miss one mistake in 262,144; the sample has 86,800.
    #[test]
    fn one_wrong_symbol_is_detected() {
        let mut missed = 0;
        for id in sample() {
            let right = symbols(&id);
            for place in 0..LENGTH {
                for symbol in SYMBOLS.iter().filter(|symbol| **symbol != right[place]) {
                    let mut wrong = right.clone();
                    wrong[place] = *symbol;
                    missed += usize::from(decode_symbols(&wrong).is_some());
                }
            }
        }
        assert!(missed <= 1, "{missed} were not detected");
    }

    #[test]
    fn two_swapped_neighbours_are_detected() {
        for id in sample() {
            let right = symbols(&id);
            for place in (1..LENGTH).filter(|place| right[place - 1] != right[*place]) {
                let mut wrong = right.clone();
                wrong.swap(place - 1, place);
                assert_eq!(decode_symbols(&wrong), None, "{place}");
            }
        }
    }

    #[test]
    fn a_code_is_not_printed() {
        let code = RecoveryCode::of(&Uuid::new_v4());
        assert_eq!(format!("{code:?}"), "RecoveryCode(<redacted>)");
    }
}
