//! Properties of parsing heads and bodies: for any input, in any pieces.

use proptest::prelude::*;

use super::body::Body;
use super::head::{Head, HeadScanner, Length, parse};
use super::limits::Limits;
use super::refusal::Refusal;

const MAX_BODY: usize = 512;

/// Feeds the input piece by piece, as a connection does.
fn find_head(input: &[u8], cuts: &[usize], limits: &Limits) -> Result<Option<(Head, usize)>, Refusal> {
    let mut scanner = HeadScanner::default();
    for end in ends(input, cuts) {
        if let Some(range) = scanner.find(&input[..end], limits)? {
            return Ok(Some((parse(&input[range.clone()], limits)?, range.end)));
        }
    }
    Ok(None)
}

/// A body, and what is left of the input behind it.
type Taken = (Vec<u8>, Vec<u8>);

fn take_body(length: Length, input: &[u8], cuts: &[usize]) -> Result<Option<Taken>, Refusal> {
    let mut body = Body::new(length, MAX_BODY)?;
    let (mut buffer, mut fed, mut complete) = (Vec::new(), 0, false);
    for end in ends(input, cuts) {
        buffer.extend_from_slice(&input[fed..end]);
        fed = end;
        complete = complete || body.take(&mut buffer)?;
    }
    Ok(complete.then(|| (body.into_bytes(), buffer)))
}

/// The ends of the reads that an input comes in.
fn ends(input: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]).collect();
    ends.sort_unstable();
    ends
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..8)
}

fn field() -> impl Strategy<Value = (String, String)> {
    // No name that has a meaning for the server, and no white space around a value.
    ("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", "([!-~]([ -~]{0,20}[!-~])?)?")
}

/// Pieces of HTTP, right and wrong, in any order: more telling than bytes at random.
fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: x\r\n",
        "Host: x\r\n\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Content-Length: 5\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "hello",
        "5\r\n",
        "0\r\n\r\n",
        ";",
        ":",
        " ",
        "\t",
        "\0",
        "X: y\r\n",
        " folded\r\n",
        "http://a/",
        "*",
        "\u{fc}",
    ])
    .prop_map(|piece| piece.as_bytes().to_vec());
    prop::collection::vec(prop_oneof![8 => piece, 1 => prop::collection::vec(any::<u8>(), 0..4)], 0..20)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_head_of_valid_parts_is_parsed_into_these_parts(
        method in "[A-Z!#$%&'*+.^_`|~-]{1,10}",
        target in "/[!\"$-~]{0,30}",
        fields in prop::collection::vec(field(), 0..10),
        cuts in cuts(),
        behind in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{method} {target} HTTP/1.1\r\n{lines}Host: x\r\n\r\n");
        let input = [text.as_bytes(), &behind].concat();
        let (head, end) = find_head(&input, &cuts, &Limits::for_tests()).expect("it is valid").expect("it is complete");
        prop_assert_eq!(end, text.len());
        prop_assert_eq!((head.method, head.target, head.length), (method, target, Length::Known(0)));
        let expected: Vec<_> = fields.into_iter().chain([("Host".to_owned(), "x".to_owned())]).collect();
        prop_assert_eq!(head.fields, expected);
    }

    #[test]
    fn a_control_character_anywhere_in_a_head_is_refused(
        at in any::<prop::sample::Index>(),
        control in prop::sample::select(vec![0_u8, 1, 8, 10, 11, 12, 13, 14, 31, 127]),
    ) {
        let mut input = b"POST /path?query HTTP/1.1\r\nHost: example.org\r\nX-Name: some value\r\n\r\n".to_vec();
        input.insert(at.index(input.len() - 4), control);
        // One empty line may stand before a request; a bare LF or CR there may not.
        prop_assert!(find_head(&input, &[], &Limits::for_tests()).is_err(), "{:?}", String::from_utf8_lossy(&input));
    }

    #[test]
    fn the_boundaries_of_reads_do_not_change_the_result(input in almost_http(), cuts in cuts()) {
        let limits = Limits::for_tests();
        let whole = find_head(&input, &[], &limits);
        prop_assert_eq!(&find_head(&input, &cuts, &limits), &whole);
        if let Ok(Some((head, end))) = whole {
            for part in [&head.method, &head.target].into_iter().chain(head.fields.iter().flat_map(|(name, value)| [name, value])) {
                prop_assert!(!part.contains(['\r', '\n', '\0']), "{part:?}");
            }
            let rest = &input[end..];
            let whole = take_body(head.length, rest, &[]);
            prop_assert_eq!(&take_body(head.length, rest, &cuts), &whole);
            if let Ok(Some((body, left))) = whole {
                prop_assert!(body.len() <= MAX_BODY && body.len() + left.len() <= rest.len());
                prop_assert!(rest.ends_with(&left));
            }
        }
    }

    #[test]
    fn a_chunked_body_is_the_concatenation_of_its_chunks(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..8),
        extension in "(;[a-z]{1,5}(=[a-z]{1,5})?)?",
        trailers in prop::collection::vec(field(), 0..3),
        behind in prop::collection::vec(any::<u8>(), 0..10),
        cuts in cuts(),
    ) {
        let mut input = Vec::new();
        for chunk in &chunks {
            input.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
            input.extend(chunk);
            input.extend(b"\r\n");
        }
        input.extend(b"0\r\n");
        input.extend(trailers.iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()));
        input.extend(b"\r\n");
        input.extend(&behind);
        prop_assert_eq!(take_body(Length::Chunked, &input, &cuts), Ok(Some((chunks.concat(), behind))));
    }

    #[test]
    fn a_body_above_its_limit_is_refused_before_it_is_buffered(length in MAX_BODY as u64 + 1.., cuts in cuts()) {
        prop_assert_eq!(take_body(Length::Known(length), b"", &cuts), Err(Refusal::BodyTooLarge(MAX_BODY)));
        let input = format!("{length:x}\r\nx");
        prop_assert_eq!(take_body(Length::Chunked, input.as_bytes(), &cuts), Err(Refusal::BodyTooLarge(MAX_BODY)));
    }
}
