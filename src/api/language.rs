//! The language that a client prefers, as `Accept-Language` asks for it (RFC 9110, section 12.5.4).

use rouille::input::parse_priority_header;

use crate::http::{RefusedFields, Request};
use crate::language::Language;

/// The language that the client prefers among those there are; `None` where it names none of them.
pub(super) fn of(request: &Request) -> Option<Language> {
    request.header("Accept-Language").and_then(preferred)
}

/// The same of a request that the server refuses.
pub(super) fn of_refused(fields: &RefusedFields) -> Option<Language> {
    fields.accept_language.as_deref().and_then(preferred)
}

/// The first range with the highest weight that names a language there is; `None` where that is any language, or none does.
fn preferred(accepted: &str) -> Option<Language> {
    let mut best = (0.0, None);
    for (range, weight) in parse_priority_header(accepted) {
        // Browsers wrote `in` before `id` replaced it.
        let language = match range.split('-').next().map(str::to_ascii_lowercase).as_deref() {
            Some("id" | "in") => Some(Language::Indonesian),
            Some("en") => Some(Language::English),
            Some("*") => None,
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
    fn the_preferred_language_is_chosen_if_there_is_one() {
        let (english, indonesian) = (Some(Language::English), Some(Language::Indonesian));
        for (accepted, language) in [
            ("", None),
            ("id", indonesian),
            ("ID-id", indonesian),
            ("in", indonesian),
            ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", indonesian),
            ("en-US,en;q=0.9,id;q=0.8", english),
            ("en;q=0.5, id; q=0.8", indonesian),
            ("en,id", english),
            ("id,en", indonesian),
            ("ms, jv;q=0.9, id;q=0.1", indonesian),
            ("de, *;q=0.5", None),
            ("id;q=0.3, *;q=0.5", None),
            ("id;q=0", None),
            ("id;q=0.5;x=1", indonesian),
            ("id;q=2", None),
            ("id;q=NaN", None),
            ("idx, index", None),
            (";;,,=", None),
        ] {
            assert_eq!(preferred(accepted), language, "{accepted:?}");
        }
    }
}
