//! `Prefer`: how the client wants the response (RFC 7240).

use crate::http::Request;

/// Whether the client prefers a representation to an empty response. Of several preferences `return` the first counts.
pub(super) fn representation(request: &Request) -> bool {
    let fields = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("Prefer"));
    fields.flat_map(|(_, value)| split(value, ',')).find_map(returned).is_some_and(|value| value == "representation")
}

/// The value of a preference `return`, in lower case.
fn returned(preference: &str) -> Option<String> {
    let (name, value) = split(preference, ';').next()?.split_once('=')?;
    let value = value.trim().trim_matches('"').to_ascii_lowercase();
    name.trim().eq_ignore_ascii_case("return").then_some(value)
}

/// The parts between separators that are not within quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        let is_plain = !std::mem::take(&mut is_escaped);
        is_escaped = is_plain && is_quoted && character == '\\';
        is_quoted ^= is_plain && character == '"';
        !is_quoted && character == separator
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_preference_return_counts_whatever_else_there_is() {
        for (fields, expected) in [
            (vec!["return=representation"], true),
            (vec!["Return = \"Representation\" ; foo=bar"], true),
            (vec!["respond-async, wait=10;x, return=representation"], true),
            (vec!["respond-async", "return=representation"], true),
            (vec![r#"note="a, return=minimal, \", b", return=representation"#], true),
            (vec!["return=minimal, return=representation"], false),
            (vec!["return=representation, return=minimal"], true),
            (vec![r#"note="x, return=representation""#], false),
            (vec!["returns=representation"], false),
            (vec!["return"], false),
            (vec!["representation"], false),
            (vec![",;=\"", ""], false),
            (vec![], false),
        ] {
            let headers = fields.iter().map(|value| ("Prefer".to_owned(), (*value).to_owned())).collect();
            let request = Request::fake_http("DELETE", "/", headers, Vec::new());
            assert_eq!(representation(&request), expected, "{fields:?}");
        }
    }
}
