//! Streams as the servers of the field send them, composed after their documentation, source code and public reports. The
//! first line of each file names what is particular about it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::chat::{Chat, assert_unavailable};
use crate::support::fake_model::FakeModel;

/// What becomes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The whole answer is stored.
    Answer,
    /// Its first words are stored, and marked as cut.
    Cut,
    /// There is no answer, after so many requests.
    Failure(usize),
}

const DIALECTS: [(&str, Outcome); 22] = [
    ("azure", Outcome::Answer),
    ("gemini", Outcome::Answer),
    ("groq", Outcome::Answer),
    ("groq_error", Outcome::Failure(2)),
    ("litellm", Outcome::Answer),
    ("litellm_rate_limit", Outcome::Failure(2)),
    ("llama_cpp", Outcome::Answer),
    ("llama_cpp_error", Outcome::Failure(2)),
    ("llama_cpp_old_error", Outcome::Failure(1)),
    ("lm_studio", Outcome::Answer),
    ("lm_studio_error", Outcome::Failure(1)),
    ("mistral", Outcome::Answer),
    ("ollama", Outcome::Answer),
    ("ollama_runner_dies", Outcome::Cut),
    ("openai", Outcome::Answer),
    ("openrouter", Outcome::Answer),
    ("openrouter_provider_lost", Outcome::Cut),
    ("perplexity", Outcome::Answer),
    ("vllm", Outcome::Answer),
    ("vllm_error", Outcome::Failure(2)),
    ("vllm_guardrails_error", Outcome::Failure(1)),
    ("vllm_oldest_error", Outcome::Failure(2)),
];

/// The media type and the body in a file.
fn dialect(name: &str) -> (String, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/suite/companion/dialects/{name}.txt"));
    let text = fs::read_to_string(file).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    (head.split_once("Content-Type: ").unwrap().1.to_owned(), body.to_owned())
}

#[test]
fn the_words_of_each_dialect_are_stored_and_nothing_else() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    for (name, outcome) in DIALECTS {
        let (media_type, body) = dialect(name);
        model.always(Arc::new(move |reply| reply.respond("200 OK", &media_type, &body)));
        let asked = model.requests().len();
        let chat = Chat::new(&app);
        let answer = chat.send("hello");
        let stored = chat.messages();
        let expected = match outcome {
            Outcome::Failure(requests) => {
                assert_unavailable(&answer, name);
                assert_eq!((stored.len(), model.requests().len() - asked), (1, requests), "{name}");
                continue;
            }
            Outcome::Answer => "I am here, and I listen.",
            Outcome::Cut => "I am here, ",
        };
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        for message in [&answer.json(), &stored[1]] {
            assert_eq!(message["content"], expected, "{name}");
            assert_eq!(message["cut"].as_bool().unwrap_or_default(), outcome == Outcome::Cut, "{name}");
        }
        assert_eq!(chat.stream("hello again").message()["content"], expected, "{name}");
    }
}

#[test]
fn every_recorded_dialect_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/companion/dialects");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.map(|file| file.trim_end_matches(".txt").to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, DIALECTS.map(|(name, _)| name));
}
