//! Digits that may be one number: groups of digits, and digits as words, with little between them.

use std::ops::Range;

use super::super::safety::is_invisible;
use super::tokens::{Kind, Token, tokens};
use super::words;

/// Bytes of a run: what follows is another one.
const MAX_BYTES: usize = 240;

/// Characters between two groups, without invisible ones and repetitions.
const MAX_GAP_CHARS: usize = 8;

/// Digits, or words for digits, that may be one number or several.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) groups: Vec<Group>,
    pub(super) end: usize,
}

/// Digits without anything between them, or a word for some.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) range: Range<usize>,
    /// The digits; empty for a word such as "hundred".
    pub(super) digits: String,
    pub(super) is_word: bool,
    /// Whether "ext" stands before it.
    pub(super) is_extension: bool,
    /// Whether what stands before it divides two numbers rather than the parts of one.
    pub(super) is_divided: bool,
}

/// Where a run begins in the first `length` bytes of a text, which are a whole word.
pub(super) fn start(text: &str, length: usize) -> Option<usize> {
    let mut before: Option<Token> = None;
    for token in tokens(&text[..length]) {
        match &token.kind {
            Kind::Digits(_) => {
                return Some(match before {
                    // "O812", and "+62".
                    Some(Token { kind: Kind::Word(word), range }) if words::is_like_digits(&word) => range.start,
                    Some(Token { kind: Kind::Gap, range }) if text[range.clone()].ends_with('+') => range.end - 1,
                    _ => token.range.start,
                });
            }
            Kind::Word(word) if words::digits_of(word).is_some() || words::joined_digits(word).is_some() => {
                return Some(token.range.start);
            }
            _ => before = Some(token),
        }
    }
    None
}

impl Run {
    /// The run at the beginning of a text; `None` while its end is not known.
    pub(super) fn read(text: &str, is_end: bool) -> Option<Run> {
        let window = &text[..text.floor_char_boundary(MAX_BYTES)];
        let is_cut = window.len() < text.len();
        let is_end = is_end || is_cut;
        let mut groups: Vec<Group> = Vec::new();
        let (mut is_extension, mut gap_start, mut was_adjacent) = (false, 0, false);
        for token in tokens(window) {
            let is_whole = is_end || token.range.end < window.len();
            let end = groups.last().map_or(0, |group| group.range.end);
            let gap = &text[gap_start..token.range.start];
            if seen_chars(gap) > MAX_GAP_CHARS * 3 {
                return Some(Run::new(groups, text));
            }
            let is_after_value = groups.last().is_some_and(|group| group.is_word && group.digits.is_empty());
            let has_code = groups.last().is_some_and(|group| group.digits.len() >= 3);
            let (digits, is_word) = match &token.kind {
                // "119 #8".
                Kind::Gap if has_code && text[token.range.clone()].contains('#') => {
                    (is_extension, was_adjacent) = (true, false);
                    continue;
                }
                Kind::Gap => {
                    if seen_chars(&text[token.range.clone()]) > MAX_GAP_CHARS {
                        return Some(Run::new(groups, text));
                    }
                    was_adjacent = false;
                    continue;
                }
                // More digits may follow.
                _ if !is_whole => return None,
                Kind::Digits(digits) => (digits.clone(), false),
                // "O812" and "l12": letters among digits.
                Kind::Word(word) if words::is_like_digits(word) && (was_adjacent || groups.is_empty()) => {
                    (words::like_digits(word), false)
                }
                // "119x8".
                Kind::Word(word) if word == "x" && has_code && was_adjacent => {
                    is_extension = true;
                    continue;
                }
                // "hundred and thirteen".
                // "9<b>1</b>", and "&#x39;&#x31;".
                Kind::Word(word)
                    if !groups.is_empty()
                        && (gap.ends_with(['<', '/']) && text[token.range.end..].starts_with('>')
                            || word == "x" && gap.ends_with("&#")) =>
                {
                    continue;
                }
                // "112 and choose option 5".
                Kind::Word(word) if (is_after_value || has_code) && matches!(word.as_str(), "and" | "dan") => continue,
                Kind::Word(word) => match words::digits_of(word) {
                    Some(digits) => (digits.to_owned(), true),
                    None if words::joined_digits(word).is_some() => {
                        let parts = words::joined_digits(word).unwrap_or_default();
                        let is_divided =
                            !groups.is_empty() && is_divided(gap, groups.last(), parts[0], &text[token.range.end..]);
                        groups.extend(parts.into_iter().enumerate().map(|(at, digits)| Group {
                            range: token.range.clone(),
                            digits: digits.to_owned(),
                            is_word: true,
                            is_extension: false,
                            is_divided: at == 0 && is_divided,
                        }));
                        (is_extension, gap_start, was_adjacent) = (false, token.range.end, true);
                        continue;
                    }
                    None if !groups.is_empty() && words::is_extension(word) => {
                        is_extension = true;
                        continue;
                    }
                    None if !groups.is_empty() && words::is_connector(word) => continue,
                    None => return Some(Run::new(groups, text)),
                },
            };
            let is_divided = !groups.is_empty()
                && !is_extension
                && is_divided(gap, groups.last(), &digits, &text[token.range.end..]);
            match groups.last_mut() {
                Some(group) if was_adjacent && !is_word && !group.is_word && end == token.range.start => {
                    group.digits.push_str(&digits);
                    group.range.end = token.range.end;
                }
                _ => groups.push(Group { range: token.range.clone(), digits, is_word, is_extension, is_divided }),
            }
            (is_extension, gap_start, was_adjacent) = (false, token.range.end, true);
        }
        if is_cut && let Some(last) = groups.iter().rposition(|group| group.is_divided) {
            // No number is cut in two.
            groups.truncate(last);
        }
        is_end.then(|| Run::new(groups, text))
    }

    fn new(mut groups: Vec<Group>, text: &str) -> Run {
        if let Some(first) = groups.first_mut()
            && text.starts_with('+')
        {
            first.range.start = 0;
        }
        // What cannot be a group is passed on.
        let end = groups.last().map_or_else(|| text.chars().next().map_or(0, char::len_utf8), |group| group.range.end);
        Run { groups, end }
    }

    /// Whether it is one word, such as "one", which is seldom a number to call.
    pub(super) fn is_single_word(&self) -> bool {
        self.groups.is_empty() || matches!(self.groups.as_slice(), [Group { is_word: true, .. }])
    }
}

/// The number of characters, without invisible ones and repetitions.
fn seen_chars(text: &str) -> usize {
    let mut chars: Vec<char> = text.chars().filter(|char| !is_invisible(*char)).collect();
    chars.dedup();
    chars.len()
}

/// Whether a gap divides two numbers. Single digits on a line each, or with slashes, may be parts of one.
fn is_divided(gap: &str, before: Option<&Group>, digits: &str, after: &str) -> bool {
    let is_single = |digits: &str| digits.len() == 1;
    let are_single = before.is_some_and(|group| is_single(&group.digits) && !group.is_extension) && is_single(digits);
    let mut after_end = false;
    let ends_sentence = gap.chars().any(|char| {
        let ends = after_end && char.is_whitespace();
        after_end = matches!(char, '.' | '!' | '?' | ':');
        ends
    });
    // "2. " begins an item of a list.
    let is_item = gap.contains('\n') && after.starts_with(['.', ')']);
    let has_and = before.is_some_and(|group| !group.digits.is_empty()) && (gap.contains("and") || gap.contains("dan"));
    // "+62 (21)".
    let is_area = after.starts_with(')') && before.is_some_and(|group| group.digits == "62");
    ends_sentence
        || is_item
        || has_and
        || gap.contains([',', ';', '|'])
        || gap.contains('(') && !is_area
        || gap.contains(['\n', '/']) && !are_single
}
