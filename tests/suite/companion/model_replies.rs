//! Valid replies of a model's server, complete and streamed.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use safespace::companion::Finish::{self, Complete, Cut};
use safespace::companion::Unavailable;
use safespace::message::Role;

use super::fixture::{
    LONG, STOP, ask, call, client, completion, delta, fake_sending, gzip, message, response, stream, zlib,
};
use crate::support::fake_model::FakeModel;
use crate::support::server::Gate;

/// The limit of an answer in characters.
const MAX_ANSWER_CHARS: usize = 16_384;

#[test]
fn an_answer_is_read_complete_or_as_a_stream_and_cut_off_at_its_limit() {
    let long = "é".repeat(MAX_ANSWER_CHARS + 7);
    let cut_off = &long[..2 * MAX_ANSWER_CHARS];
    let crlf =
        format!(": hello\n\nevent: x\nid: 1\n{}retry: 5\n{STOP}data: [DONE]\n\n", delta("a")).replace('\n', "\r\n");
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n";
    let text_with_stop = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let two_lines = "data:{\"choices\":\ndata: [{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let a = delta("a");
    for (case, reply, finish, expected) in [
        ("complete", completion(" a\n"), Complete, "a\n"),
        (
            "chunks without text",
            stream(&format!("{role}{}{}{usage}{STOP}data: [DONE]\n\n", delta(" "), delta("b"))),
            Complete,
            "b",
        ),
        ("CRLF and other fields", stream(&crlf), Complete, "a"),
        ("data in two lines", stream(&format!("{two_lines}data: [DONE]\n\n")), Complete, "a"),
        ("no [DONE]", stream(&format!("{a}{STOP}")), Complete, "a"),
        ("no line end behind the last chunk", stream(format!("{a}{STOP}").trim_end()), Complete, "a"),
        ("no finish_reason, [DONE] without a line end", stream(&format!("{a}data: [DONE]")), Complete, "a"),
        ("finish_reason beside the text", stream(&format!("{text_with_stop}{usage}")), Complete, "a"),
        ("complete and too long", completion(&long), Cut, cut_off),
        ("streamed and too long", stream(&format!("{}{}", delta(cut_off), delta("b"))), Cut, cut_off),
    ] {
        let (result, pieces) = ask(&client(&fake_sending(reply)), &call(LONG));
        assert_eq!((result, pieces.concat()), (Ok(finish), expected.to_owned()), "{case}");
    }
}

#[test]
fn a_stream_in_chunks_of_one_byte_is_read() {
    let model = FakeModel::start();
    model.next(|reply| {
        reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for byte in format!("{}{}{STOP}data: [DONE]\n\n", delta("aé"), delta("b")).bytes() {
            reply.send(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])?;
        }
        reply.send(b"0\r\n\r\n")
    });
    let (result, pieces) = ask(&client(&model), &call(LONG));
    assert_eq!((result, pieces.concat().as_str()), (Ok(Complete), "aéb"));
}

#[test]
fn a_piece_is_passed_on_before_the_next_one_is_sent() {
    let (model, gate) = (FakeModel::start(), Arc::new(Gate::default()));
    let sender_gate = gate.clone();
    model.next(move |reply| {
        reply.send(stream(&delta("a ")).as_bytes())?;
        reply.wait(&sender_gate)?;
        reply.send(format!("{}{STOP}", delta("b")).as_bytes())
    });
    let (pieces, received) = mpsc::channel();
    let result = client(&model).answer(&[message(Role::User, "help")], None, &call(LONG), &mut |piece| {
        pieces.send(piece.to_owned()).unwrap();
        gate.open();
    });
    assert_eq!(
        (result, received.try_iter().collect::<Vec<_>>()),
        (Ok(Complete), vec!["a ".to_owned(), "b".to_owned()])
    );
}

/// The answer to one request that is answered with these bytes.
fn read(reply: impl Into<Vec<u8>>) -> (Result<Finish, Unavailable>, String) {
    let model = fake_sending(reply);
    let (result, pieces) = ask(&client(&model), &call(LONG));
    assert_eq!(model.requests().len(), 1, "{result:?}");
    (result, pieces.concat())
}

#[test]
fn a_chunk_that_is_not_understood_is_passed_over_and_the_words_are_taken_wherever_they_are() {
    let chunk = |choice: &str| format!("data: {{\"choices\":[{choice}]}}\n\n");
    let [hello, tail] = ["Hel", "lo."].map(delta);
    for (case, chunks) in [
        ("choices are null", format!("{hello}data: {{\"choices\":null}}\n\n{tail}data: {{\"choices\":null}}\n\n")),
        (
            "no choices",
            format!(
                "data: {{\"sources\":[1]}}\n\n{hello}{tail}data: {{\"id\":\"1\",\"object\":\"x\",\"usage\":{{}}}}\n\n"
            ),
        ),
        (
            "null and other values",
            format!("{hello}data: null\n\ndata: 1\n\ndata: []\n\ndata: \"\"\n\ndata: {{}}\n\n{tail}"),
        ),
        ("empty data", format!("data:\n\ndata\n\n{hello}data: \n\n{tail}")),
        ("choices of other types", format!("{hello}{}{}{}{tail}", chunk("null"), chunk("1"), chunk("[]"))),
        ("choices as an object", "data: {\"choices\":{\"delta\":{\"content\":\"Hello.\"}}}\n\n".to_owned()),
        (
            "a delta that is null or missing",
            format!("{hello}{}{}{tail}", chunk("{\"delta\":null}"), chunk("{\"index\":0}")),
        ),
        (
            "other types of fields that are needed",
            format!(
                "{hello}{}{tail}",
                chunk("{\"delta\":{\"content\":1,\"refusal\":{},\"reasoning\":7},\"finish_reason\":[1]}")
            ),
        ),
        (
            "other types of fields that are not",
            format!(
                "{hello}{}",
                chunk(
                    "{\"index\":\"x\",\"delta\":{\"role\":1,\"content\":\"lo.\",\"tool_calls\":{}},\"logprobs\":1e999}"
                )
            ),
        ),
        ("a name twice", chunk("{\"delta\":{\"content\":\"x\",\"content\":\"Hello.\"}}")),
        ("data that is no object", format!("{hello}data: ping\n\ndata: Infinity\n\ndata: [1,\n\n{tail}")),
        ("a long line", format!("{hello}data: {{\"sources\":\"{}\"}}\n\n{tail}", "x".repeat(1_000_000))),
        (
            "numbers that JSON does not have",
            format!(
                "{}{}",
                chunk("{\"delta\":{\"content\":\"Hel\"},\"logprobs\":[NaN,-Infinity,Infinity]}"),
                chunk("{\"score\":NaN,\"x\":\"\\\\\",\"delta\":{\"content\":\"lo.\"}}")
            ),
        ),
        (
            "errors that say nothing",
            format!(
                "{hello}data: {{\"error\":null,\"error_message\":null}}\n\ndata: {{\"error\":{{\"message\":\"\",\"code\":null}},\"choices\":[]}}\n\n{tail}"
            ),
        ),
        (
            "an error inside a choice",
            format!("{}{tail}", chunk("{\"delta\":{\"content\":\"Hel\"},\"error\":{\"message\":\"x\"}}")),
        ),
        (
            "typed parts",
            chunk(
                "{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"x\"}]},{\"type\":\"text\",\"text\":\"Hel\"},{\"type\":\"output_text\",\"text\":{\"value\":\"lo.\"}},{\"type\":\"other\",\"text\":\"x\"},7,null]}}",
            ),
        ),
        (
            "a list of strings, a part",
            format!(
                "{}{}",
                chunk("{\"delta\":{\"content\":[\"H\",\"el\"]}}"),
                chunk("{\"delta\":{\"content\":{\"text\":\"lo.\"}}}")
            ),
        ),
        (
            "the delta is the text, the text is beside it",
            format!("{}{}", chunk("{\"delta\":\"Hel\"}"), chunk("{\"text\":\"lo.\"}")),
        ),
        (
            "a message in place of the delta",
            format!("{}{}", chunk("{\"message\":{\"content\":\"Hel\"}}"), chunk("{\"message\":{\"content\":\"lo.\"}}")),
        ),
        (
            "the whole message in the end",
            format!("{hello}{tail}{}", chunk("{\"delta\":{},\"message\":{\"content\":\"Hello.\"}}")),
        ),
        (
            "the message so far in each chunk",
            format!(
                "{}{}",
                chunk("{\"message\":{\"content\":\"Hel\"}}"),
                chunk("{\"message\":{\"content\":\"Hello.\"}}")
            ),
        ),
        (
            "the whole message in the end, without the thoughts",
            format!("{}{hello}{tail}{}", delta("<think>x</think>"), chunk("{\"message\":{\"content\":\"Hello.\"}}")),
        ),
        (
            "thoughts of Google",
            format!(
                "{}{}{hello}{tail}",
                chunk("{\"delta\":{\"content\":\"x\",\"extra_content\":{\"google\":{\"thought\":true}}}}"),
                chunk("{\"delta\":{\"content\":[{\"text\":\"x\",\"thought\":true}]}}")
            ),
        ),
        (
            "several choices",
            format!(
                "{}{}{tail}",
                chunk("{\"index\":0,\"delta\":{\"content\":\"Hel\"}},{\"index\":1,\"delta\":{\"content\":\"x\"}}"),
                chunk("{\"index\":1,\"delta\":{\"content\":\"x\"}}")
            ),
        ),
        (
            "words in the second choice",
            format!(
                "{}{}",
                chunk("{\"index\":0,\"delta\":{}},{\"index\":1,\"delta\":{\"content\":\"Hel\"}}"),
                chunk("{\"index\":1,\"delta\":{\"content\":\"lo.\"}}")
            ),
        ),
        (
            "null beside the words",
            format!(
                "{}{}",
                chunk("{\"delta\":{\"content\":\"Hel\",\"content\":null,\"refusal\":\"None\"}}"),
                chunk("{\"delta\":{\"content\":null},\"text\":\"lo.\"}")
            ),
        ),
        (
            "an error without a fault",
            format!("{hello}data: {{\"error\":{{\"code\":0,\"message\":\"ok\"}},\"choices\":[]}}\n\n{tail}"),
        ),
        (
            "a name that is half of a pair",
            format!("data: {{\"\\ud83d\":1,\"choices\":[{{\"delta\":{{\"content\":\"Hel\"}}}}]}}\n\n{tail}"),
        ),
        ("no empty line between events", format!("{}{tail}", hello.replace("\n\n", "\n"))),
        ("the field twice", format!("data: {hello}data: {tail}")),
        ("other names of the field", format!(" {hello}{}\u{feff}{}", delta(""), tail.replace("data", "DATA"))),
        (
            "a line feed within a string",
            format!("{}{tail}", chunk("{\"delta\":{\"content\":\"Hel\",\"x\":\"\ndata: \"}}")),
        ),
        ("chunks as strings", format!("data: {}\n\n{tail}", serde_json::json!(hello[6..].trim()))),
        ("a comma too many", format!("{}{tail}", chunk("{\"delta\":{\"content\":\"Hel\",},}"))),
        (
            "thoughts",
            format!(
                "{}{hello}{}{tail}",
                chunk("{\"delta\":{\"reasoning_content\":\"x\"}}"),
                chunk("{\"delta\":{\"content\":null,\"reasoning\":[{\"text\":\"x\"}]}}")
            ),
        ),
        ("an end token", ["Hello.", "<|im", "_end|>\n"].map(delta).concat()),
        ("tagged thoughts", ["<th", "ink>\nx</", "think>\n", "\nHel", "lo."].map(delta).concat()),
        (
            "unknown finish reasons",
            format!(
                "{}{}",
                chunk("{\"delta\":{\"content\":\"Hel\"},\"finish_reason\":\"in_progress\"}"),
                chunk("{\"delta\":{\"content\":\"lo.\"},\"finish_reason\":\"eos\"}")
            ),
        ),
        (
            "a finish_reason in each chunk",
            format!(
                "{}{}",
                chunk("{\"delta\":{\"content\":\"Hel\"},\"finish_reason\":\"stop\"}"),
                chunk("{\"delta\":{\"content\":\"lo.\"},\"finish_reason\":\"stop\"}")
            ),
        ),
    ] {
        let body = format!("{chunks}{STOP}data: [DONE]\n\n");
        assert_eq!(read(stream(&body)), (Ok(Complete), "Hello.".to_owned()), "{case}");
    }
}

#[test]
fn the_first_bytes_tell_how_a_response_is_read_and_not_its_label() {
    let streamed = format!("{}{STOP}data: [DONE]\n\n", delta("Hello."));
    let whole = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello.\"},\"finish_reason\":\"stop\"}]}";
    let [streamed_mark, whole_mark] = [streamed.as_str(), whole].map(|body| format!("\u{feff}{body}"));
    let parts = whole
        .replace("\"Hello.\"", "[{\"type\":\"thinking\",\"thinking\":\"x\"},{\"type\":\"text\",\"text\":\"Hello.\"}]");
    let chunks = format!(
        "{}\n{}\n",
        delta("Hello.").trim_start_matches("data: ").trim(),
        STOP.trim_start_matches("data: ").trim()
    );
    let with_crlf = streamed.replace('\n', "\r\n");
    let with_cr = streamed.replace('\n', "\r");
    let bodies = [
        ("a stream", streamed.clone()),
        ("a stream behind a mark", streamed_mark),
        ("a stream behind blank lines", format!("\n\r\n\n{streamed}")),
        ("a stream with CR LF", with_crlf),
        ("a stream with CR", with_cr),
        ("a whole answer", whole.to_owned()),
        ("a whole answer behind a mark", whole_mark),
        ("a whole answer behind white space", format!("\n\n \n\n{whole}\n")),
        ("a whole answer with [DONE] behind it", format!("{whole}\n\ndata: [DONE]\n\n")),
        ("a whole answer in a stream", format!("data: {whole}\n\ndata: [DONE]\n\n")),
        ("a whole answer in parts", parts),
        ("chunks in lines", chunks),
    ];
    for (case, body) in &bodies {
        for media_type in ["text/event-stream", "application/json", "text/plain", "application/octet-stream", ""] {
            let answer = read(response(media_type, body));
            assert_eq!(answer, (Ok(Complete), "Hello.".to_owned()), "{case} as {media_type:?}");
        }
        for (label, bytes) in [
            ("gzip", gzip(body.as_bytes())),
            ("", gzip(body.as_bytes())),
            ("gzip, gzip", gzip(&gzip(body.as_bytes()))),
            ("deflate", zlib(body.as_bytes())),
            ("identity", body.clone().into_bytes()),
            ("gzip", body.clone().into_bytes()),
        ] {
            let head = format!("HTTP/1.1 203 OK\r\nContent-Encoding: {label}\r\nConnection: close\r\n\r\n");
            let answer = read([head.into_bytes(), bytes].concat());
            assert_eq!(answer, (Ok(Complete), "Hello.".to_owned()), "{case}, {label:?}");
        }
    }
    let no_type = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{streamed}");
    assert_eq!(read(no_type), (Ok(Complete), "Hello.".to_owned()));
}

#[test]
fn nothing_behind_the_finish_reason_undoes_an_answer() {
    let answer = format!("{}{STOP}", delta("Hello."));
    for (case, rest) in [
        ("[DONE] with white space", "data: [DONE] \n\n"),
        ("[DONE] behind two spaces", "data:  [DONE]\n\n"),
        ("[DONE] without brackets", "data: DONE\n\n"),
        ("[DONE] as a string", "data: \"[done]\"\n\n"),
        ("data that is not JSON", "data: the end\n\n"),
        ("a chunk that is cut", "data: {\"choi"),
        ("an error", "event: error\ndata: {\"error\":{\"message\":\"x\",\"code\":500}}\n\n"),
        ("an error as a finish_reason", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n"),
        ("a filter", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n"),
        ("no finish_reason", "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\n\n"),
        ("HTML", "<html>\n"),
        ("bytes that are no text", "\0\u{1}\n\n"),
    ] {
        assert_eq!(read(stream(&format!("{answer}{rest}"))), (Ok(Complete), "Hello.".to_owned()), "{case}");
    }
    // The body is shorter than its head says, its compression or its last chunk is cut.
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let short = format!("{head}Content-Length: 9999\r\n\r\n{answer}");
    assert_eq!(read(short), (Ok(Complete), "Hello.".to_owned()));
    let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\nffff\r\nda", answer.len());
    assert_eq!(read(chunk), (Ok(Complete), "Hello.".to_owned()));
}

#[test]
fn a_server_that_keeps_the_connection_open_behind_the_finish_reason_is_waited_for_briefly() {
    let model = FakeModel::start();
    model.next(|reply| {
        reply.send(stream(&format!("{}{STOP}", delta("a"))).as_bytes())?;
        reply.stall()
    });
    let begin = Instant::now();
    let answer = ask(&client(&model), &call(Duration::from_secs(30)));
    assert_eq!(answer, (Ok(Complete), vec!["a".to_owned()]));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn words_that_come_behind_the_finish_reason_are_waited_for_as_long_as_they_come() {
    let chunk = |text: &str| {
        let delta = serde_json::json!({"content": text, "reasoning": if text.is_empty() { "x" } else { "" }});
        let choice = serde_json::json!({"delta": delta, "finish_reason": "stop"});
        format!("data: {}\n\n", serde_json::json!({"choices": [choice]}))
    };
    for (case, pauses, breaks, expected) in [
        ("a finish_reason in each chunk", [0, 1200, 1200], false, Complete),
        ("one beside thoughts", [2500, 0, 0], false, Complete),
        ("one in each chunk, and no end", [0, 0, 0], true, Cut),
    ] {
        let model = FakeModel::start();
        model.next(move |reply| {
            reply.send(stream(&chunk("")).as_bytes())?;
            for (pause, text) in pauses.into_iter().zip(["One ", "two ", "three."]) {
                thread::sleep(Duration::from_millis(pause));
                reply.send(chunk(text).as_bytes())?;
            }
            if breaks { reply.stall() } else { reply.send(b"data: [DONE]\n\n") }
        });
        let (result, pieces) = ask(&client(&model), &call(LONG));
        assert_eq!((result, pieces.concat()), (Ok(expected), "One two three.".to_owned()), "{case}");
    }
}

#[test]
fn a_retry_takes_out_the_thoughts_of_its_answer() {
    for first in [stream(""), stream(": ping\n\n"), stream(&delta("<think>a"))] {
        let model = fake_sending(stream(&format!("{}{STOP}", delta("<think>b</think>Hello."))));
        model.next(move |reply| reply.send(first.as_bytes()));
        let (result, pieces) = ask(&client(&model), &call(LONG));
        assert_eq!((result, pieces.concat()), (Ok(Complete), "Hello.".to_owned()));
    }
}

#[test]
fn an_answer_that_ends_early_is_cut_and_keeps_its_words() {
    let half = delta("Hello.");
    let finish =
        |reason: &str| format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n");
    let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    for (case, body) in [
        ("its bound", format!("{half}{}data: [DONE]\n\n", finish("length"))),
        ("its bound, in Google's word", format!("{half}{}", finish("MAX_TOKENS"))),
        ("a failure of the server", format!("{half}{}", finish("error"))),
        ("an end without a finish_reason", half.clone()),
        ("an end in a chunk", format!("{half}data: {{\"choi")),
        ("a chunk that cannot be read", format!("{half}data: {{\"choi\n\n{}{}", delta("x"), finish("stop"))),
        (
            "a chunk that is too long",
            format!("{half}data: {{\"x\":\"{}\"}}\n\n{}{}", "x".repeat(1 << 20), delta("x"), finish("stop")),
        ),
        ("an error", format!("{half}{error}data: [DONE]\n\n")),
        (
            "an error without a member of that name",
            format!("{half}event: error\ndata: {{\"code\":400,\"details\":\"x\"}}\n\ndata: [DONE]\n\n"),
        ),
        ("an error glued to a chunk", format!("{half}data: {{\"choievent: error\ndata: {{\"error\":\"x\"}}\n\n")),
        (
            "an error of Groq",
            format!("{half}data: {{\"choices\":[],\"x_groq\":{{\"error\":\"x\"}}}}\n\ndata: [DONE]\n\n"),
        ),
    ] {
        assert_eq!(read(stream(&body)), (Ok(Cut), "Hello.".to_owned()), "{case}");
    }
    let whole = completion("Hello.").replace("\"stop\"", "\"length\"");
    assert_eq!(read(whole), (Ok(Cut), "Hello.".to_owned()));
}

#[test]
fn halves_of_an_emoji_in_two_chunks_are_joined_and_a_lone_half_is_replaced() {
    let chunk = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let (high, low) = ("\\ud83d", "\\ude42");
    for (texts, expected) in [
        (vec!["a ", high, low, "."], "a \u{1f642}."),
        (vec!["\\ud83d\\ude42"], "\u{1f642}"),
        (vec!["a", high, "b"], "a\u{fffd}b"),
        (vec!["a", low], "a\u{fffd}"),
        (vec!["a", high], "a\u{fffd}"),
        (vec!["\\ud83d\\n"], "\u{fffd}\n"),
    ] {
        let chunks: String = texts.iter().map(|text| chunk(text)).collect();
        assert_eq!(read(stream(&format!("{chunks}{STOP}"))), (Ok(Complete), expected.to_owned()), "{texts:?}");
    }
    let mut bytes = stream("").into_bytes();
    bytes.extend(delta("a?b").bytes().map(|byte| if byte == b'?' { 0xff } else { byte }));
    bytes.extend(STOP.bytes());
    assert_eq!(read(bytes), (Ok(Complete), "a\u{fffd}b".to_owned()));
}
