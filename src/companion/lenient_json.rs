//! JSON from servers of many kinds, of which only a part is known: what is missing or has another type is absent.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Numbers that Python's `json` writes and JSON does not have.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Text that is not quite JSON as JSON: `null` in place of numbers that are not finite, control characters in strings as
/// escapes, and no comma behind the last item of a list.
pub(super) fn repaired(json: &str) -> String {
    let mut repaired = String::with_capacity(json.len());
    let (mut is_in_string, mut is_escaped) = (false, false);
    let mut rest = json;
    while let Some(char) = rest.chars().next() {
        let number = NOT_FINITE.iter().find(|number| !is_in_string && rest.starts_with(**number));
        if let Some(number) = number {
            repaired.push_str("null");
            rest = &rest[number.len()..];
            continue;
        }
        rest = &rest[char.len_utf8()..];
        if is_in_string && char.is_ascii_control() {
            let _ = write!(repaired, "\\u{:04x}", u32::from(char));
        } else {
            if !is_in_string && matches!(char, '}' | ']') && repaired.trim_end().ends_with(',') {
                repaired.truncate(repaired.trim_end().len() - 1);
            }
            repaired.push(char);
        }
        is_in_string ^= char == '"' && !is_escaped;
        is_escaped = is_in_string && char == '\\' && !is_escaped;
    }
    repaired
}

/// The members of an object; of a name that occurs twice, the last that is not null.
pub(super) type Object<'a> = BTreeMap<String, &'a RawValue>;

/// The members of an object; `None` for any other value.
pub(super) fn object(json: &RawValue) -> Option<Object<'_>> {
    parse(json, '{').map(|Members(members)| members)
}

/// The items of an array; `None` for any other value.
pub(super) fn array(json: &RawValue) -> Option<Vec<&RawValue>> {
    parse(json, '[')
}

/// A string in WTF-8, that is UTF-8 in which a lone half of a surrogate pair has three bytes; `None` for any other value.
/// Servers that cut a text at each token send the halves of an emoji in two strings.
pub(super) fn string(json: &RawValue) -> Option<Vec<u8>> {
    parse(json, '"').map(|Wtf8(bytes)| bytes)
}

/// A value that begins with this character. Of one of another type the parser would write an error that nobody reads.
fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue, first: char) -> Option<T> {
    json.get().starts_with(first).then(|| serde_json::from_str(json.get()).ok())?
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

struct Members<'a>(Object<'a>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((Wtf8(name), value)) = map.next_entry::<Wtf8, &'de RawValue>()? {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    if value.get() != "null" || !members.contains_key(&name) {
                        members.insert(name, value);
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_quite_json_is_repaired_and_json_is_not_changed() {
        for (text, expected) in [
            (r#"{"a":[NaN,-Infinity,1],"NaN":"Infinity \" NaN"}"#, r#"{"a":[null,null,1],"NaN":"Infinity \" NaN"}"#),
            ("{\"a\":\"x\ty\n\"}", r#"{"a":"x\u0009y\u000a"}"#),
            ("{\"a\":[1,2, ],\n}", "{\"a\":[1,2]}"),
            (r#"{"a":",]","b":"\\"}"#, r#"{"a":",]","b":"\\"}"#),
        ] {
            assert_eq!(repaired(text), expected);
            assert!(serde_json::from_str::<&RawValue>(&repaired(text)).is_ok(), "{text}");
        }
    }
}
