//! JSON from servers of many kinds, of which only a part is known: what is missing or has another type is absent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

/// Numbers that Python's `json` writes and JSON does not have.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with `null` in place of the numbers that are not finite, so that they spoil nothing that stands beside them.
pub(super) fn without_infinities(json: &str) -> Cow<'_, str> {
    if !NOT_FINITE[1..].iter().any(|number| json.contains(number)) {
        return Cow::Borrowed(json);
    }
    let mut finite = String::with_capacity(json.len());
    let (mut is_in_string, mut is_escaped) = (false, false);
    let mut rest = json;
    while let Some(char) = rest.chars().next() {
        let number = NOT_FINITE.iter().find(|number| !is_in_string && rest.starts_with(**number));
        if let Some(number) = number {
            finite.push_str("null");
            rest = &rest[number.len()..];
            continue;
        }
        is_in_string ^= char == '"' && !is_escaped;
        is_escaped = is_in_string && char == '\\' && !is_escaped;
        finite.push(char);
        rest = &rest[char.len_utf8()..];
    }
    Cow::Owned(finite)
}

/// The members of an object; of a name that occurs twice, the last.
pub(super) type Object<'a> = HashMap<String, &'a RawValue>;

/// The members of an object; `None` for any other value.
pub(super) fn object(json: &RawValue) -> Option<Object<'_>> {
    serde_json::from_str(json.get()).ok()
}

/// The items of an array; `None` for any other value.
pub(super) fn array(json: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json.get()).ok()
}

/// A string in WTF-8, that is UTF-8 in which a lone half of a surrogate pair has three bytes; `None` for any other value.
/// Servers that cut a text at each token send the halves of an emoji in two strings.
pub(super) fn string(json: &RawValue) -> Option<Vec<u8>> {
    serde_json::from_str(json.get()).ok().map(|Wtf8(bytes)| bytes)
}

/// Whether a value says something: whether it is not null, false, zero, or empty, nor an object of such values.
pub(super) fn is_something(json: &RawValue) -> bool {
    fn is_blank(json: &str) -> bool {
        let inner = json.trim_matches(['"', '[', ']', '{', '}']).trim();
        matches!(inner, "" | "null" | "false" | "0")
    }
    match object(json) {
        Some(members) => members.values().any(|member| !is_blank(member.get())),
        None => !is_blank(json.get()),
    }
}

struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Wtf8, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_owned()))
            }
        }
        // A string would be refused for a lone half of a surrogate pair.
        deserializer.deserialize_bytes(Bytes)
    }
}
