//! The language of an error's text, as `Accept-Language` asks for it (RFC 9110, section 12.5.4).

use rouille::input::parse_priority_header;

use crate::http::{RefusedFields, Request};
use crate::language::Language;

/// The language that the client prefers among those there are.
pub(super) fn of(request: &Request) -> Language {
    preferred(request.header("Accept-Language").unwrap_or_default())
}

/// The same of a request that the server refuses.
pub(super) fn of_refused(fields: &RefusedFields) -> Language {
    preferred(fields.accept_language.as_deref().unwrap_or_default())
}

/// The first range with the highest weight that names a language there is; English where none does.
fn preferred(accepted: &str) -> Language {
    let mut best = (0.0, Language::default());
    for (range, weight) in parse_priority_header(accepted) {
        // Browsers wrote `in` before `id` replaced it.
        let language = match range.split('-').next().map(str::to_ascii_lowercase).as_deref() {
            Some("id" | "in") => Language::Indonesian,
            Some("en" | "*") => Language::English,
            _ => continue,
        };
        if weight > best.0 && weight <= 1.0 {
            best = (weight, language);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_language_is_chosen_and_english_otherwise() {
        use Language::{English, Indonesian};
        for (accepted, language) in [
            ("", English),
            ("id", Indonesian),
            ("ID-id", Indonesian),
            ("in", Indonesian),
            ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", Indonesian),
            ("en-US,en;q=0.9,id;q=0.8", English),
            ("en;q=0.5, id; q=0.8", Indonesian),
            ("en,id", English),
            ("id,en", Indonesian),
            ("ms, jv;q=0.9, id;q=0.1", Indonesian),
            ("de, *;q=0.5", English),
            ("id;q=0.3, *;q=0.5", English),
            ("id;q=0", English),
            ("id;q=0.5;x=1", Indonesian),
            ("id;q=2", English),
            ("id;q=NaN", English),
            ("idx, index", English),
            (";;,,=", English),
        ] {
            assert_eq!(preferred(accepted), language, "{accepted:?}");
        }
    }
}
