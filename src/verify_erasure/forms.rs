//! The encodings in which an id, a key or a text can have been written somewhere.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::session_id::SessionId;

/// Bytes of the shortest encoding that is searched for. A shorter one is likely to occur by chance in gigabytes of ciphertext.
pub const MIN_FORM_BYTES: usize = 6;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The encodings of something that is searched for, without repetitions. It has no `Debug` and no `Display`; the bytes are
/// overwritten when it is dropped.
#[derive(Default)]
pub struct Forms {
    found: Vec<Zeroizing<Vec<u8>>>,
}

impl Forms {
    /// Those of a session's id and of its recovery code.
    #[must_use]
    pub fn of_id(id: &SessionId) -> Forms {
        let mut forms = Forms::of_uuid(id.expose());
        let code = id.recovery_code();
        let code = code.expose();
        let bare = Zeroizing::new(code.replace('-', ""));
        forms.add_text(code);
        for text in [Zeroizing::new(code.to_lowercase()), Zeroizing::new(bare.to_lowercase()), bare] {
            forms.add(text.as_bytes().to_vec());
        }
        forms
    }

    /// Those of a UUID: as bytes, and as text in its usual forms.
    #[must_use]
    pub fn of_uuid(uuid: &Uuid) -> Forms {
        let mut forms = Forms::of_bytes(uuid.as_bytes());
        forms.add(uuid.as_bytes().iter().rev().copied().collect());
        forms.add(uuid.to_bytes_le().to_vec());
        let text = Zeroizing::new(uuid.hyphenated().to_string());
        forms.add_text(&text);
        forms.add(text.to_uppercase().into_bytes());
        forms
    }

    /// Those of bytes: as they are, in hexadecimal digits, in base64.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Forms {
        let mut forms = Forms::default();
        forms.add_bytes(bytes);
        forms
    }

    /// Those of a text: in UTF-8 and UTF-16, as JSON and URLs escape it, in hexadecimal digits, in base64.
    #[must_use]
    pub fn of_text(text: &str) -> Forms {
        let mut forms = Forms::default();
        forms.add_text(text);
        forms
    }

    /// The encodings, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.found.iter().map(|form| form.as_slice())
    }

    fn add(&mut self, form: Vec<u8>) {
        let form = Zeroizing::new(form);
        if form.len() >= MIN_FORM_BYTES && !self.found.contains(&form) {
            self.found.push(form);
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.to_vec());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(hex.to_uppercase().into_bytes());
        self.add(hex.into_bytes());
        for alphabet in [BASE64, BASE64_URL] {
            for bytes_before in 0..3 {
                self.add(base64(bytes, bytes_before, alphabet));
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        self.add_bytes(text.as_bytes());
        self.add(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        self.add(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        let json = serde_json::Value::from(text).to_string();
        let json = &json[1..json.len() - 1];
        self.add(json.as_bytes().to_vec());
        self.add(only_ascii(json).into_bytes());
        let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        self.add(percent.replace("%20", "+").into_bytes());
        self.add(percent.into_bytes());
    }
}

/// JSON text as writers have it that escape everything beyond ASCII.
fn only_ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars()
        .map(|character| match character {
            _ if character.is_ascii() => character.to_string(),
            _ => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect()
}

/// The digits of base64 that these bytes alone determine, where so many bytes (modulo 3) are encoded before them.
fn base64(bytes: &[u8], bytes_before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let offset = bytes_before * 8;
    (offset.div_ceil(6)..(offset + bytes.len() * 8) / 6)
        .map(|index| {
            let bit = index * 6 - offset;
            let next = bytes.get(bit / 8 + 1).copied().unwrap_or(0);
            let pair = u16::from_be_bytes([bytes[bit / 8], next]);
            alphabet[usize::from(pair >> (10 - bit % 8) & 63)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(forms: &Forms, wanted: &[u8]) -> bool {
        forms.iter().any(|form| form == wanted)
    }

    #[test]
    fn base64_is_found_at_each_alignment() {
        // "a secret" behind no, one and two bytes, as coreutils' base64 encodes it.
        for (bytes_before, whole) in ["YSBzZWNyZXQuLi4=", "LmEgc2VjcmV0Li4u", "Li5hIHNlY3JldC4uLg=="].iter().enumerate()
        {
            let form = base64(b"a secret", bytes_before, BASE64);
            let form = String::from_utf8(form).expect("ASCII");
            assert!(form.len() >= 10 && whole.contains(&form), "{form} in {whole}");
        }
    }

    #[test]
    fn a_text_has_its_escaped_forms() {
        let forms = Forms::of_text("caf\u{e9} \u{1f9ed}\n");
        for wanted in [
            "caf\u{e9} \u{1f9ed}\n",
            "caf\u{e9} \u{1f9ed}\\n",
            "caf\\u00e9 \\ud83e\\udded\\n",
            "caf%C3%A9%20%F0%9F%A7%AD%0A",
            "caf%C3%A9+%F0%9F%A7%AD%0A",
            "636166c3a920f09fa7ad0a",
            "636166C3A920F09FA7AD0A",
        ] {
            assert!(has(&forms, wanted.as_bytes()), "{wanted}");
        }
        assert!(has(&forms, b"c\0a\0f\0\xe9\0 \0\x3e\xd8\xed\xdd\n\0"), "UTF-16, little-endian");
        assert!(has(&forms, b"\0c\0a\0f\0\xe9\0 \xd8\x3e\xdd\xed\0\n"), "UTF-16, big-endian");
    }

    #[test]
    fn an_id_has_its_forms_and_those_of_its_recovery_code() {
        let id: SessionId = "38ccd37d-31aa-4704-a189-5cc43fd3988c".parse().expect("an id");
        let forms = Forms::of_id(&id);
        for wanted in [
            "38ccd37d-31aa-4704-a189-5cc43fd3988c",
            "38CCD37D-31AA-4704-A189-5CC43FD3988C",
            "38ccd37d31aa4704a1895cc43fd3988c",
            "38CCD37D31AA4704A1895CC43FD3988C",
            "736D-6Z9H-N9R4-GRJQ-647Z-9SH3-6Y52",
            "736d-6z9h-n9r4-grjq-647z-9sh3-6y52",
            "736D6Z9HN9R4GRJQ647Z9SH36Y52",
            "736d6z9hn9r4grjq647z9sh36y52",
        ] {
            assert!(has(&forms, wanted.as_bytes()), "{wanted}");
        }
        let bytes = id.expose().as_bytes();
        let backwards: Vec<u8> = bytes.iter().rev().copied().collect();
        assert!(has(&forms, bytes) && has(&forms, &backwards));
        assert!(forms.iter().all(|form| form.len() >= MIN_FORM_BYTES));
    }
}
