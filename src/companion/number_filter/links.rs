//! Links, domains and e-mail addresses in a text.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::super::safety::is_invisible;

/// The ends of domains that are written without a scheme. Others have one, or a path.
const TOP_LEVEL: [&str; 79] = [
    "com",
    "org",
    "net",
    "edu",
    "gov",
    "int",
    "info",
    "biz",
    "io",
    "co",
    "me",
    "id",
    "my",
    "sg",
    "au",
    "uk",
    "us",
    "ca",
    "de",
    "fr",
    "nl",
    "in",
    "jp",
    "cn",
    "ru",
    "br",
    "za",
    "ph",
    "th",
    "vn",
    "eu",
    "ly",
    "gl",
    "gg",
    "to",
    "tv",
    "cc",
    "ai",
    "app",
    "dev",
    "page",
    "link",
    "site",
    "online",
    "help",
    "health",
    "care",
    "chat",
    "club",
    "xyz",
    "top",
    "icu",
    "live",
    "support",
    "social",
    "world",
    "life",
    "space",
    "website",
    "mobi",
    "asia",
    "be",
    "nz",
    "foundation",
    "ngo",
    "ong",
    "store",
    "center",
    "shop",
    "cloud",
    "blog",
    "tech",
    "clinic",
    "community",
    "network",
    "email",
    "services",
    "charity",
    "agency",
];

/// Those that are told one by one, as in "example dot com".
const SPOKEN: [&str; 11] = ["com", "org", "net", "id", "co", "io", "gov", "info", "ly", "edu", "app"];

/// A link without what makes no difference.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::companion) struct Link {
    /// What stands before an @.
    pub(super) user: String,
    pub(super) host: String,
    /// Without a slash at its end.
    pub(super) path: String,
}

/// The links in a word, and where they are.
pub(super) fn find(word: &str) -> Vec<(Range<usize>, Link)> {
    // "example[.]com".
    if ["[.]", "(.)", "{.}", "[dot]", "(dot)"].iter().any(|dot| word.contains(dot)) {
        let plain =
            ["[.]", "(.)", "{.}", "[dot]", "(dot)"].iter().fold(word.to_owned(), |word, dot| word.replace(dot, "."));
        return link(&plain).map(|link| (0..word.len(), link)).into_iter().collect();
    }
    let is_around = |char: char| "<>()[]{}\"'`|,;*_\u{201c}\u{201d}\u{ff08}\u{ff09}".contains(char);
    let mut found = Vec::new();
    let mut start = 0;
    for piece in word.split_inclusive(is_around) {
        let plain = piece.trim_end_matches(is_around);
        let trimmed = plain.trim_end_matches(['.', ':', '!', '?', '\u{2026}', '/']);
        if let Some(link) = link(trimmed) {
            found.push((start..start + trimmed.len(), link));
        }
        start += piece.len();
    }
    found
}

/// A link, where a text is one.
fn link(text: &str) -> Option<Link> {
    let plain: String = text.nfkc().filter(|char| !is_invisible(*char)).collect();
    let plain = plain.replace(['\u{3002}', '\u{2024}'], ".").to_lowercase();
    let (scheme, rest) = match plain.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, plain.strip_prefix("mailto:").unwrap_or(&plain)),
    };
    let host_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let labels: Vec<&str> = host.split('.').collect();
    let is_host = labels.len() > 1 && labels.iter().all(|label| is_label(label));
    let is_top = labels.last().is_some_and(|top| TOP_LEVEL.contains(top) || top.starts_with("xn--"));
    let has_name = labels.last().is_some_and(|top| top.chars().count() > 1 && top.chars().all(char::is_alphabetic));
    // A dot without a space behind it, as in "selesai.aku", makes no domain.
    let is_link = scheme.is_some() && !host.is_empty()
        || is_host && (is_top || has_name && (user.len() + path.len() > 1 || labels[0] == "www"));
    is_link.then(|| Link {
        user: user.to_owned(),
        host: host.trim_start_matches("www.").trim_end_matches('.').to_owned(),
        path: path.trim_end_matches('/').to_owned(),
    })
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|char| char.is_alphanumeric() || char == '-')
}

/// Whether a word stands for the dot of a domain.
pub(super) fn is_dot(word: &str) -> bool {
    let plain = word.trim_matches(|char: char| "()[]{}".contains(char)).to_lowercase();
    matches!(plain.as_str(), "." | "dot" | "titik")
}

/// Whether a word is the end of a domain.
pub(super) fn is_top_level(word: &str) -> bool {
    let end = word.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(word.len());
    SPOKEN.contains(&word[..end].to_ascii_lowercase().as_str())
}
