//! The file of help lines: what is accepted, how mistakes are reported, and references from other texts.

use chrono::{Days, NaiveDate, Utc};
use proptest::prelude::*;
use safespace::data_file::{FileError, Mistake};
use safespace::resources::{Kind, Registry, Selection};

use super::{SMALL, load, small};

/// The mistake in a file.
#[track_caller]
fn mistake(text: &str) -> String {
    match load(text) {
        Err(FileError::Mistaken { reason, .. }) => reason.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is accepted:\n{text}"),
    }
}

fn ids(registry: &Registry, wanted: Selection<'_>) -> Vec<String> {
    registry.select(wanted).into_iter().map(|resource| resource.id.clone()).collect()
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    let tomorrow = format!("\"{}\"", (Utc::now() + chrono::TimeDelta::days(2)).date_naive());
    let long = format!("\"{}\"", "x".repeat(301));
    for (old, new, expected) in [
        ("country = \"ID\"\n", "", "line 1: missing field `country`"),
        ("country = \"ID\"", "country = \"id\"", "line 1: a country is its two capital letters"),
        (
            "topics = [\"emergency\", \"violence\", \"legal\"]",
            "topics = []",
            "line 2: topics should have 1 to 50 items",
        ),
        ("\"legal\"]", "\"Legal aid\"]", "line 2: a topic has only small letters"),
        ("[resources.rescue]", "[resources.Rescue]", "line 4: the name of a help line has only small letters"),
        ("name = \"Rescue\"\n", "", "line 4: missing field `name`"),
        ("name = \"Rescue\"", "name = \" \"", "line 5: name should have 1 to 300 characters in one line"),
        ("\"Rescue\"", &long, "line 5: name should have 1 to 300 characters"),
        ("name = \"Rescue\"", "name = \"Rescue\"\nnumber = 5", "line 6: unknown field `number`"),
        ("kind = \"phone\"", "kind = \"fax\"", "line 6: unknown variant `fax`"),
        ("value = \"555\"\n", "", "line 4: missing field `value`"),
        (
            "value = \"555\"",
            "value = 555",
            "line 7: invalid type: integer `555`, expected a string; put it in quotes: \"555\"",
        ),
        ("value = \"555\"", "value = \u{201c}555\u{201d}", "line 7: these are typographic quotes; write \""),
        ("value = \"555\"", "value = \"call us\"", "line 7: \"call us\" is not possible here: a phone number has"),
        (
            "\"https://advice.example\"",
            "\"http://advice.example\"",
            "line 16: \"http://advice.example\" is not possible",
        ),
        (
            "topics = [\"violence\"]",
            "topics = [\"violins\"]",
            "line 17: the topic \"violins\" is not in the list; there are: emergency, violence, legal",
        ),
        ("topics = [\"violence\"]", "topics = []", "line 17: topics should have 1 to 50 items"),
        (
            "languages = [\"id\", \"en-GB\"]",
            "languages = [\"id\", \"English\"]",
            "line 20: \"English\" is not a language tag",
        ),
        ("languages = [\"id\", \"en-GB\"]\n", "", "line 13: missing field `languages`"),
        ("\"https://example.org/advice\"", "\"a friend\"", "line 22: the source is the URL of a page"),
        ("\"2026-01-31\"", "\"31.1.2026\"", "line 23: verified_at is a day of the form"),
        ("\"2026-01-31\"", "2026-01-31T10:00:00Z", "line 23: verified_at is a day of the form"),
        ("\"2026-01-31\"", "true", "line 23: verified_at is a day of the form"),
        ("\"2026-01-31\"", &tomorrow, "line 23: verified_at is in the future"),
        ("topics = [\"emergency\"]", "topics = [\"legal\"]", "line 1: no help line of ID has the topic \"emergency\""),
        ("country = \"ID\"", "country = \"MY\"", "line 1: no help line of MY has the topic \"emergency\""),
        (
            "kind = \"web\"\nvalue = \"https://advice.example\"",
            "kind = \"phone\"\nvalue = \"5-55\"",
            "line 16: \"5-55\" is the value of another help line already",
        ),
        ("[resources.advice]", "[resources.rescue]", "line 13: "),
    ] {
        let refused = mistake(&small(&[(old, new)]));
        assert!(refused.starts_with(expected), "{new}: {refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn at_most_200_help_lines_are_accepted() {
    let many = |count: usize| {
        let entry = |number: usize| {
            let (_, advice) = SMALL.split_once("[resources.advice]").unwrap();
            format!("[resources.n{number}]{}", advice.replace("advice.example", &format!("n{number}.example")))
        };
        format!("{SMALL}{}", (2..count).map(entry).collect::<String>())
    };
    assert_eq!(load(&many(200)).unwrap().resources.len(), 200);
    assert!(mistake(&many(201)).ends_with("there are more than 200 help lines"));
}

#[test]
fn a_value_has_the_form_of_its_kind() {
    for (kind, accepted, refused) in [
        (
            "phone",
            ["55", "5550 100", "(021) 555-0100", "+00 21 555 0100", "555 ext 8"].as_slice(),
            ["5", "0123456789012345", "555 ext", "555 ext x", "555x8", "55+5", "-555", "555-", "tel:555", "555\u{660}"]
                .as_slice(),
        ),
        ("whatsapp", &["0555-0100-99", "+0055501009"], &["555", "0555-0100 ext 8", "https://wa.example"]),
        (
            "email",
            &["help@example.org", "a.b+c@x.example"],
            &["help", "help@", "@x.org", "help@x", "a b@x.org", "a@b@x.org", "mailto:a@x,b.org"],
        ),
        (
            "web",
            &["https://x.example", "https://x.example/a?b=c"],
            &[
                "x.example",
                "http://x.example",
                "https://x",
                "https://",
                "https://a@x.example",
                "https://127.0.0.1/",
                "ftp://x.example",
            ],
        ),
        ("chat", &["https://x.example/chat"], &["x.example/chat"]),
    ] {
        let of = |value: &str| {
            small(&[(
                "kind = \"web\"\nvalue = \"https://advice.example\"",
                &format!("kind = \"{kind}\"\nvalue = \"{value}\""),
            )])
        };
        for value in accepted {
            let registry = load(&of(value)).unwrap_or_else(|error| panic!("{kind} {value}: {error}"));
            assert_eq!(registry.get("advice").unwrap().value, *value);
        }
        for value in refused {
            assert!(mistake(&of(value)).starts_with("line 16: "), "{kind} {value}");
        }
    }
}

#[test]
fn the_order_of_the_file_is_kept_and_a_language_comes_first() {
    let registry = load(SMALL).unwrap();
    assert_eq!(ids(&registry, Selection::default()), ["rescue", "advice"]);
    for (language, first) in [("en", "advice"), ("EN-us", "advice"), ("id", "rescue"), ("fr", "rescue"), ("", "rescue")]
    {
        let wanted = Selection { language: Some(language), ..Selection::default() };
        assert_eq!(ids(&registry, wanted)[0], first, "{language}");
        assert_eq!(registry.select(wanted).len(), 2, "{language}");
    }
    let of_topic = |topic| Selection { country: Some("id"), topic: Some(topic), language: None };
    assert_eq!(ids(&registry, of_topic("Violence")), ["advice"]);
    assert_eq!(ids(&registry, of_topic("legal")), [""; 0]);
    assert_eq!(ids(&registry, Selection { country: Some("MY"), ..Selection::default() }), [""; 0]);
    assert_eq!(registry.countries(), ["ID"]);
    let advice = registry.get("advice").unwrap();
    assert_eq!(
        (advice.kind, advice.hours.as_str(), &*advice.regions),
        (Kind::Web, "9-17", &["Jakarta".to_owned()][..])
    );
}

#[test]
fn a_verification_holds_for_its_days_and_a_date_needs_no_quotation_marks() {
    for text in [SMALL.to_owned(), small(&[("\"2026-01-31\"", "2026-01-31")])] {
        let registry = load(&text).unwrap();
        let verified = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
        let advice = registry.get("advice").unwrap();
        assert_eq!(advice.verified_at, Some(verified));
        for (days_later, max_age, expected) in
            [(0, 1, true), (1, 1, true), (2, 1, false), (180, 180, true), (181, 180, false)]
        {
            let today = verified + Days::new(days_later);
            assert_eq!(advice.is_verified(max_age, today), expected, "{days_later} days, of {max_age}");
        }
        assert!(!registry.get("rescue").unwrap().is_verified(3650, verified), "nobody verified it");
    }
}

#[test]
fn references_are_replaced_and_an_unknown_name_is_a_mistake_at_its_place() {
    let registry = load(SMALL).unwrap();
    for (text, expanded) in [
        ("", ""),
        ("no reference {at} all", "no reference {at} all"),
        ("call {resource:rescue}.", "call 555."),
        ("{resource:rescue}{resource:advice}", "555https://advice.example"),
        ("{{resource:rescue}}", "{555}"),
    ] {
        assert_eq!(registry.expand(text).ok().as_deref(), Some(expanded), "{text}");
    }
    for (text, place, name) in [
        ("call {resource:nobody}", 5, "nobody"),
        ("{resource:rescue} {resource:}", 18, ""),
        ("a {resource:rescue", 2, "rescue"),
        ("a {resource:rescue }", 2, "rescue"),
        ("\u{e9} {resource:Rescue}", 3, ""),
    ] {
        let Err(Mistake(at, what)) = registry.expand(text) else { panic!("{text}") };
        assert_eq!(at, place, "{text}");
        assert!(what.starts_with(&format!("there is no help line {name:?} for {{resource:")), "{text}: {what}");
    }
}

#[test]
fn the_embedded_help_lines_have_sources_and_claim_no_verification() {
    let registry = Registry::load(None).unwrap();
    assert_eq!(registry.country, "ID");
    assert_eq!(registry.resources[0].topics, ["emergency"]);
    for topic in &registry.topics {
        let wanted = Selection { country: Some("ID"), topic: Some(topic), language: None };
        assert!(!registry.select(wanted).is_empty(), "no help line has the topic {topic}");
    }
    for resource in &registry.resources {
        assert!(resource.source.starts_with("https://"), "{}", resource.id);
        assert_eq!(resource.verified_at, None, "{}: no program can verify a help line", resource.id);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_file_or_has_a_mistake_in_one_of_its_lines(at in 0..SMALL.len(), junk in "(?s).{0,8}", length in 0..20_usize) {
        let mut text = SMALL.to_owned();
        text.replace_range(at..(at + length).min(SMALL.len()), &junk);
        if let Err(FileError::Mistaken { reason, .. }) = load(&text) {
            prop_assert!((1..=text.split('\n').count()).contains(&reason.line), "{}", reason);
        }
    }

    #[test]
    fn any_text_without_a_reference_is_unchanged(text in "(?s).{0,40}|[{}:a-z]{0,40}") {
        let registry = Registry::load(None).unwrap();
        if !text.contains("{resource:") {
            prop_assert_eq!(registry.expand(&text).ok(), Some(text));
        }
    }
}
