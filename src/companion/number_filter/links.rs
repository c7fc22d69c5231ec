//! Links, domains and e-mail addresses in a text.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::super::safety::is_invisible;

/// Ends of domains that make one of any two words with a dot between them, also with a capital letter.
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

/// Those that are words: with a capital letter, one begins a sentence whose space is missing, as in "selesai.In".
const WORDS: [&str; 9] = ["in", "me", "my", "to", "us", "be", "ai", "id", "co"];

/// Ends of file names.
const FILES: [&str; 12] = ["pdf", "txt", "doc", "docx", "jpg", "jpeg", "png", "js", "md", "html", "mp3", "mp4"];

/// Services of e-mail, as in "example at gmail".
const MAIL: [&str; 6] = ["gmail", "yahoo", "outlook", "hotmail", "proton", "icloud"];

/// What people write for a dot or an @.
const SPELLED: [(&str, char); 17] = [
    ("[.]", '.'),
    ("(.)", '.'),
    ("{.}", '.'),
    ("[dot]", '.'),
    ("(dot)", '.'),
    ("{dot}", '.'),
    ("[titik]", '.'),
    ("(titik)", '.'),
    ("&#46;", '.'),
    ("&#x2e;", '.'),
    ("&period;", '.'),
    ("%2e", '.'),
    ("[at]", '@'),
    ("(at)", '@'),
    ("{at}", '@'),
    ("&#64;", '@'),
    ("%40", '@'),
];

/// What makes a link of the words behind it, whatever they are.
const SCHEMES: [&str; 14] = [
    "://",
    "http:/",
    "https:/",
    "hxxp:/",
    "hxxps:/",
    "http//",
    "https//",
    "mailto:",
    "skype:",
    "tel:",
    "sms:",
    "sip:",
    "whatsapp:",
    "tg:",
];

/// A link without what makes no difference.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::companion) struct Link {
    /// What stands before an @.
    pub(super) user: String,
    pub(super) host: String,
    /// What follows, from the sign behind the host on, without a slash at its end.
    pub(super) path: String,
}

/// Characters of a link, and where they are in the word.
type Piece = Vec<(char, Range<usize>)>;

/// The first link in a word, and where it is.
pub(super) fn first(word: &str) -> Option<(Range<usize>, Link)> {
    // Most words are letters alone, with perhaps the end of a sentence behind them.
    let letters = word.trim_end_matches(['.', ',', '!', '?', ':', ';']);
    if letters.bytes().all(|byte| byte.is_ascii_alphabetic()) && !is_joined(&letters.to_ascii_lowercase()) {
        return None;
    }
    let mut piece = Piece::new();
    let (mut at, mut is_address) = (0, false);
    while let Some(char) = word[at..].chars().next() {
        let spelled = SPELLED.iter().find(|(text, _)| {
            word.as_bytes()[at..].get(..text.len()).is_some_and(|own| own.eq_ignore_ascii_case(text.as_bytes()))
        });
        let start = at;
        at += spelled.map_or(char.len_utf8(), |(text, _)| text.len());
        if let Some((_, sign)) = spelled {
            piece.push((*sign, start..at));
            continue;
        }
        // Emphasis in Markdown hides a dot: "example**.**com".
        if is_invisible(char) || matches!(char, '*' | '`') {
            continue;
        }
        // "http://[2001:db8::1]/".
        is_address |= char == '[' && piece.last().is_some_and(|(last, _)| *last == '/');
        for plain in std::iter::once(char).nfkc() {
            let is_dot = matches!(plain, '\u{3002}' | '\u{2024}' | '\u{b7}' | '\u{2022}' | '\u{22c5}');
            let plain = if is_dot { '.' } else { plain };
            if plain.is_alphanumeric() || ".-_@:/?#&=%+~\\!$".contains(plain) || is_address {
                piece.push((plain, start..at));
            } else if let Some(link) = link(&std::mem::take(&mut piece)) {
                return Some(link);
            }
        }
        is_address &= char != ']';
    }
    link(&piece)
}

/// A link, where characters are one or end with one.
fn link(piece: &[(char, Range<usize>)]) -> Option<(Range<usize>, Link)> {
    let end = piece.iter().rposition(|(char, _)| !".:!?/-_&=+~%#".contains(*char))? + 1;
    let cased: String = piece[..end].iter().map(|(char, _)| *char).collect();
    let text: String = cased.chars().map(|char| char.to_lowercase().next().unwrap_or(char)).collect();
    let found = |start: usize, host: usize, host_end: usize| {
        let first = text[..start].chars().count();
        let (user, name) = text[host..host_end].rsplit_once('@').unwrap_or(("", &text[host..host_end]));
        let link = Link {
            user: user.to_owned(),
            host: name.trim_start_matches("www.").trim_matches('.').to_owned(),
            path: text[host_end..].trim_end_matches('/').to_owned(),
        };
        Some((piece[first].1.start..piece[end - 1].1.end, link))
    };
    let schemes = SCHEMES.iter().filter_map(|scheme| text.find(scheme).map(|at| (at, at + scheme.len())));
    if let Some((at, host)) = schemes.min().filter(|(_, host)| *host < text.len()) {
        let start = text[..at]
            .rfind(|char: char| !char.is_ascii_alphanumeric())
            .map_or(0, |before| before + text[before..].chars().next().map_or(0, char::len_utf8));
        let host = host + text[host..].len() - text[host..].trim_start_matches(['/', ':']).len();
        let host_end = text[host..].find(SEPARATORS).map_or(text.len(), |end| host + end);
        return found(start, host, host_end);
    }
    let mut start = 0;
    for part in text.split_inclusive(SEPARATORS) {
        let host = part.trim_end_matches(SEPARATORS);
        let host_end = start + host.len();
        // Where lower case has another length, capitals are not known.
        let own = cased.get(start..host_end).filter(|_| cased.len() == text.len()).unwrap_or(host);
        if is_host(host, own, text.len() > host_end + 1) {
            return found(start, start, host_end);
        }
        start += part.len();
    }
    if is_joined(&text.replace('-', "")) { found(0, 0, text.len()) } else { None }
}

/// Whether a text in lower case is a domain whose dot is a word, without a space.
fn is_joined(text: &str) -> bool {
    ["dotcom", "dotorg", "dotnet", "dotid", "dotcoid", "titikcom", "titikid"]
        .iter()
        .any(|end| text.strip_suffix(end).is_some_and(|name| !name.is_empty()))
}

/// What ends the name of a host.
const SEPARATORS: [char; 13] = ['/', '?', '#', '\\', ':', '=', '&', '%', '+', '~', '!', '$', '['];

/// Whether a text is a domain, an address or the name of an account. `own`: the same with its capital letters.
fn is_host(host: &str, own: &str, has_path: bool) -> bool {
    if let Some((user, host)) = host.rsplit_once('@') {
        return host.chars().count() >= if user.is_empty() { 3 } else { 2 };
    }
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let [.., name, top] = labels[..] else { return false };
    let own_top = own.trim_end_matches('.').rsplit('.').next().unwrap_or(top);
    let is_capital = own_top.starts_with(char::is_uppercase);
    let is_usual = TOP_LEVEL.contains(&top) && !(is_capital && WORDS.contains(&top));
    if name.is_empty() {
        // "example .com".
        return is_usual && labels.len() == 2;
    }
    if !labels.iter().all(|label| is_label(label)) {
        return false;
    }
    let is_word = top.chars().count() > 1 && top.chars().all(char::is_alphabetic);
    // A dot without a space behind it, as in "selesai.Aku", makes no domain.
    let is_sentence = is_capital && own.chars().any(char::is_lowercase);
    let has_name = name.chars().count() > 1 && name.chars().any(char::is_alphabetic) && !FILES.contains(&top);
    is_usual || top.starts_with("xn--") || is_word && !is_sentence && (has_name || has_path || labels[0] == "www")
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|char| char.is_alphanumeric() || matches!(char, '-' | '_'))
}

/// Whether a word stands for the @ of an address.
pub(super) fn is_at(word: &str) -> bool {
    let plain = word.trim_matches(|char: char| "()[]{}".contains(char));
    plain == "@" || plain.eq_ignore_ascii_case("at")
}

/// Whether a word is a service of e-mail.
pub(super) fn is_mail(word: &str) -> bool {
    let end = word.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(word.len());
    MAIL.contains(&word[..end].to_ascii_lowercase().as_str())
}

/// Whether a word stands for the dot of a domain.
pub(super) fn is_dot(word: &str) -> bool {
    let plain = word.trim_matches(|char: char| "()[]{}".contains(char)).to_lowercase();
    matches!(plain.as_str(), "." | "dot" | "titik")
}

/// Whether a word is the end of a domain, in lower case.
pub(super) fn is_top_level(word: &str) -> bool {
    let end = word.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(word.len());
    TOP_LEVEL.contains(&&word[..end])
}
