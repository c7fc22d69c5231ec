//! Splits Rust source into the tokens that matter for paths; comments and literals are left out.

/// Returns identifiers, `::` and single punctuation characters in their order.
pub(super) fn tokens(source: &str) -> Vec<String> {
    let source: Vec<char> = source.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < source.len() {
        let rest = &source[at..];
        at += match rest {
            ['/', '/', ..] => line_comment(rest),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['\'', ..] => character_or_lifetime(rest),
            [':', ':', ..] => {
                tokens.push("::".to_owned());
                2
            }
            [first, ..] if is_identifier(*first) => {
                let length = rest.iter().take_while(|character| is_identifier(**character)).count();
                let identifier: String = rest[..length].iter().collect();
                if let Some(literal) = raw_string(&identifier, &rest[length..]) {
                    length + literal
                } else {
                    tokens.push(identifier);
                    length
                }
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                1
            }
            [] => unreachable!("the loop ends before"),
        };
    }
    tokens
}

fn is_identifier(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|character| *character == '\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a raw string behind its prefix, where the identifier is one. `r#name` is a raw identifier, no string.
fn raw_string(prefix: &str, rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|character| **character == '#').count();
    if !["r", "br", "cr"].contains(&prefix) || rest.get(hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[hashes + 1..];
    let length = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    Some(hashes + 1 + length + end.len())
}

/// The length of a character literal, or of the apostrophe of a lifetime.
fn character_or_lifetime(rest: &[char]) -> usize {
    match rest {
        // The escaped character may be an apostrophe itself.
        ['\'', '\\', _, behind @ ..] => {
            3 + behind.iter().position(|character| *character == '\'').map_or(behind.len(), |end| end + 1)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}
