//! Valid replies of a model's server, complete and streamed.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use safespace::message::Role;

use super::fixture::{STOP, ask, call, client, completion, delta, fake_sending, message, stream};
use crate::support::fake_model::FakeModel;
use crate::support::server::Gate;

/// The limit of an answer in characters.
const MAX_ANSWER_CHARS: usize = 16_384;

const LIMIT: Duration = Duration::from_secs(5);

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
    for (case, reply, expected) in [
        ("complete", completion(" a\n"), vec![" a\n"]),
        (
            "chunks without text",
            stream(&format!("{role}{}{}{usage}{STOP}data: [DONE]\n\n", delta(" "), delta("b"))),
            vec![" ", "b"],
        ),
        ("CRLF and other fields", stream(&crlf), vec!["a"]),
        ("data in two lines", stream(&format!("{two_lines}data: [DONE]\n\n")), vec!["a"]),
        ("no [DONE]", stream(&format!("{a}{STOP}")), vec!["a"]),
        ("no finish_reason, [DONE] without a line end", stream(&format!("{a}data: [DONE]")), vec!["a"]),
        ("finish_reason beside the text", stream(&format!("{text_with_stop}{usage}")), vec!["a"]),
        ("complete and too long", completion(&long), vec![cut_off]),
        ("streamed and too long", stream(&format!("{}{}", delta(cut_off), delta("b"))), vec![cut_off]),
    ] {
        let answer = ask(&*client(&fake_sending(reply)), &call(LIMIT));
        assert_eq!(answer, (Ok(()), expected.iter().map(ToString::to_string).collect()), "{case}");
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
    assert_eq!(ask(&*client(&model), &call(LIMIT)), (Ok(()), vec!["aé".to_owned(), "b".to_owned()]));
}

#[test]
fn a_piece_is_passed_on_before_the_next_one_is_sent() {
    let (model, gate) = (FakeModel::start(), Arc::new(Gate::default()));
    let sender_gate = gate.clone();
    model.next(move |reply| {
        reply.send(stream(&delta("a")).as_bytes())?;
        reply.wait(&sender_gate)?;
        reply.send(format!("{}{STOP}", delta("b")).as_bytes())
    });
    let (pieces, received) = mpsc::channel();
    let result = client(&model).answer(&[message(Role::User, "help")], &call(LIMIT), &mut |piece| {
        pieces.send(piece.to_owned()).unwrap();
        gate.open();
    });
    assert_eq!((result, received.try_iter().collect::<Vec<_>>()), (Ok(()), vec!["a".to_owned(), "b".to_owned()]));
}
