//! The settings of the companion: which one is used, its limits, problems and warnings.

use safespace::companion;
use safespace::config::Config;

use super::fixture::{RESOURCES, config, file, model_settings, path, settings, with_home};
use crate::support::process::Binary;
use crate::support::variables;

/// The problems of an unusable configuration, one line each.
#[track_caller]
fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    Config::from_variables(&variables(&with_home(pairs))).unwrap_err().0
}

fn warnings(pairs: &[(&str, &str)]) -> Vec<String> {
    config(pairs).warnings()
}

#[test]
fn a_base_url_or_a_google_key_selects_a_model_and_a_base_url_takes_precedence() {
    let url = ("OPENAI_BASE_URL", "http://[::1]:11434/v1/");
    let model = model_settings(&[url, ("COMPANION_MODEL", "llama3.1"), ("COMPANION_PROMPT", "p.md")]);
    assert_eq!((model.base_url.to_string().as_str(), model.host()), ("http://[::1]:11434/v1", "::1"));
    assert_eq!((model.model.as_str(), model.context_chars, model.local_only), ("llama3.1", 24_000, false));
    assert!(model.api_key.is_none() && model.sends_store && model.prompt.is_some());
    let google = model_settings(&[("GOOGLE_API_KEY", "g")]);
    assert_eq!(google.base_url.to_string(), "https://generativelanguage.googleapis.com/v1beta/openai");
    assert_eq!((google.model.as_str(), google.api_key.unwrap().expose()), ("gemini-2.5-flash-lite", "g"));
    assert_eq!(model_settings(&[("GOOGLE_API_KEY", "g"), ("COMPANION_MODEL", "other")]).model, "other");
    let mistral = model_settings(&[("OPENAI_BASE_URL", "https://API.mistral.ai/v1"), ("COMPANION_MODEL", "m")]);
    assert!(!mistral.sends_store);
    // The key belongs to the base URL.
    let both = model_settings(&[url, ("COMPANION_MODEL", "m"), ("OPENAI_API_KEY", "o"), ("GOOGLE_API_KEY", "g")]);
    assert_eq!((both.host(), both.api_key.as_ref().unwrap().expose()), ("::1", "o"));
    assert!(settings(&[("OPENAI_API_KEY", "o")]).model.is_none());
    let local = [url, ("COMPANION_MODEL", "m"), ("COMPANION_EGRESS", "local")];
    assert_eq!(settings(&local).to_string(), "model m at [::1]:11434, egress local; script, embedded");
    assert_eq!(settings(&[("COMPANION_SCRIPT", "/s")]).to_string(), "script, /s");
}

#[test]
fn the_default_limits_follow_those_of_the_service() {
    let limits = |pairs: &[(&str, &str)]| (settings(pairs).timeout.as_millis(), settings(pairs).concurrency);
    assert_eq!(limits(&[("APP_REQUEST_TIMEOUT", "10"), ("APP_WORKERS", "1")]), (8000, 128));
    assert_eq!(limits(&[("COMPANION_TIMEOUT", "29"), ("COMPANION_CONCURRENCY", "3")]), (29_000, 3));
}

#[test]
fn an_invalid_setting_is_a_problem_and_no_secret_is_in_it() {
    let model = ("COMPANION_MODEL", "m");
    let local = ("COMPANION_EGRESS", "local");
    for (pairs, problem) in [
        (vec![("COMPANION_TIMEOUT", "1")], "COMPANION_TIMEOUT: \"1\" is not a whole number from 2 to 300"),
        (vec![("COMPANION_TIMEOUT", "30")], "COMPANION_TIMEOUT: 30 is not less than APP_REQUEST_TIMEOUT, 30"),
        (vec![("COMPANION_CONCURRENCY", "0")], "COMPANION_CONCURRENCY: \"0\" is not a whole number from 1 to 4096"),
        (vec![("COMPANION_CONTEXT_CHARS", "999")], "COMPANION_CONTEXT_CHARS: \"999\""),
        (vec![("COMPANION_EGRESS", "some")], "COMPANION_EGRESS: \"some\" is not one of any, local"),
        (vec![("OPENAI_BASE_URL", "http://h")], "COMPANION_MODEL: required with OPENAI_BASE_URL"),
        (vec![("OPENAI_BASE_URL", "ftp://h"), model], "OPENAI_BASE_URL: not a URL of the form"),
        (vec![("OPENAI_BASE_URL", "localhost:11434"), model], "OPENAI_BASE_URL: not a URL of the form"),
        (vec![("OPENAI_BASE_URL", "http:///v1"), model], "OPENAI_BASE_URL: not a URL of the form"),
        (
            vec![("OPENAI_BASE_URL", "http://h/v1/chat/completions/"), model],
            "OPENAI_BASE_URL: it ends with /chat/completions",
        ),
        (vec![("OPENAI_BASE_URL", "http://h:0/v1"), model], "OPENAI_BASE_URL: its port"),
        (vec![("OPENAI_BASE_URL", "http://h:99999/v1"), model], "OPENAI_BASE_URL: "),
        (vec![("OPENAI_BASE_URL", "http://h/v1?key=hunter2"), model], "OPENAI_BASE_URL: it has a query"),
        (vec![("OPENAI_BASE_URL", "http://h/v1#hunter2"), model], "OPENAI_BASE_URL: it has a query or a fragment"),
        (vec![("OPENAI_BASE_URL", "http://u:hunter2@h"), model], "OPENAI_BASE_URL: it has a user"),
        (vec![("OPENAI_BASE_URL", "http://8.8.8.8"), model, local], "OPENAI_BASE_URL: COMPANION_EGRESS is local"),
        (vec![("OPENAI_BASE_URL", "http://[2001:db8::1]"), model, local], "OPENAI_BASE_URL: COMPANION_EGRESS is local"),
        (vec![("GOOGLE_API_KEY", "hunter2"), local], "COMPANION_EGRESS: local, and GOOGLE_API_KEY"),
        (vec![("GOOGLE_API_KEY", "hunter2 x")], "GOOGLE_API_KEY: it has a space"),
        (
            vec![("OPENAI_BASE_URL", "http://h"), model, ("OPENAI_API_KEY", "\"hunter2\"")],
            "OPENAI_API_KEY: it has a space",
        ),
        (vec![("OPENAI_API_KEY_FILE", "/nowhere")], "OPENAI_API_KEY_FILE: cannot read /nowhere"),
    ] {
        let found = problems(&pairs);
        assert!(found.len() == 1 && found[0].starts_with(problem), "{pairs:?}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{pairs:?}: {found:?}");
    }
}

#[test]
fn a_key_is_read_from_a_file_and_is_not_in_debug_output() {
    let key = file(b"hunter2\n");
    for name in ["GOOGLE_API_KEY_FILE", "OPENAI_API_KEY_FILE"] {
        let mut pairs = vec![(name, path(&key))];
        if name.starts_with("OPENAI") {
            pairs.extend([("OPENAI_BASE_URL", "http://localhost/v1"), ("COMPANION_MODEL", "m")]);
        }
        assert_eq!(model_settings(&pairs).api_key.unwrap().expose(), "hunter2", "{name}");
        assert!(!format!("{:?}", config(&pairs)).contains("hunter2"), "{name}");
        assert_eq!(warnings(&pairs), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_unused_variable_and_plain_http_to_another_network_are_warnings() {
    let at = |url| [("OPENAI_BASE_URL", url), ("COMPANION_MODEL", "m")];
    for (pairs, warning) in [
        (vec![("OPENAI_API_KEY", "k")], "OPENAI_API_KEY is set and not used"),
        (vec![("COMPANION_MODEL", "m")], "COMPANION_MODEL is set and not used"),
        (vec![("COMPANION_PROMPT", "/p")], "COMPANION_PROMPT is set and not used"),
        (vec![("GOOGLE_API_KEY", "k"), ("OPENAI_API_KEY", "k")], "OPENAI_API_KEY is set and not used"),
        ([&at("http://localhost")[..], &[("GOOGLE_API_KEY", "k")]].concat(), "GOOGLE_API_KEY is set and not used"),
        (vec![("COMPANION_TIME", "9")], "COMPANION_TIME is set and means nothing"),
        (at("http://8.8.8.8").to_vec(), "OPENAI_BASE_URL is plain http"),
        (at("http://models.example.org").to_vec(), "OPENAI_BASE_URL is plain http"),
    ] {
        let found = warnings(&pairs);
        assert!(found.len() == 1 && found[0].starts_with(warning), "{pairs:?}: {found:?}");
    }
    for url in [
        "https://api.example.org/v1",
        "http://localhost:1",
        "http://ollama:11434/v1",
        "http://10.1.1.1",
        "http://[fd00::1]",
        "http://gpu.lan",
    ] {
        assert_eq!(warnings(&at(url)), Vec::<String>::new(), "{url}");
    }
    let local = [&at("http://models.example.org")[..], &[("COMPANION_EGRESS", "local")]].concat();
    assert_eq!(warnings(&local), Vec::<String>::new());
}

#[test]
fn an_unusable_file_is_an_error_that_names_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let (largest, too_large) = (file(&vec![b'a'; 262_144]), file(&vec![b'a'; 262_145]));
    let (empty, blank) = (file(b""), file(b" \n"));
    let (with_mark, latin_1) = (file("\u{feff}Listen.".as_bytes()), file(b"\xe9"));
    for (case, path, problem) in [
        ("a byte order mark", path(&with_mark), None),
        ("the largest file", path(&largest), None),
        ("a larger file", path(&too_large), Some("has more than 262144 bytes")),
        ("ISO 8859-1", path(&latin_1), Some("is not UTF-8")),
        ("no bytes", path(&empty), Some("is empty")),
        ("white space", path(&blank), Some("is empty")),
        ("no file", &missing, Some("No such file")),
    ] {
        let script = [("COMPANION_SCRIPT", path)];
        let prompt = [("COMPANION_PROMPT", path), ("OPENAI_BASE_URL", "http://localhost"), ("COMPANION_MODEL", "m")];
        for (variable, pairs) in [("COMPANION_SCRIPT", &script[..]), ("COMPANION_PROMPT", &prompt)] {
            let error = companion::build(&settings(pairs), &RESOURCES).err().map(|error| error.to_string());
            match (problem, error) {
                (Some(problem), Some(error)) => {
                    assert!(error.starts_with(variable) && error.contains(problem), "{case}: {error}");
                }
                // The text is no valid script.
                (None, Some(error)) => assert!(error.starts_with("COMPANION_SCRIPT"), "{case}: {error}"),
                (problem, None) => assert_eq!((problem, variable), (None, "COMPANION_PROMPT"), "{case}"),
            }
        }
    }
}

#[test]
fn check_prints_the_companion_and_fails_if_it_cannot_be_built() {
    let check = |pairs: &[(&str, &str)]| {
        let database = [("DB_HOST", "127.0.0.1"), ("DB_PORT", "1"), ("DB_PASSWORD", "p")];
        let output = Binary::new(&with_home(&[&database, pairs].concat())).argument("check").run();
        assert_eq!(output.status.code(), Some(1), "the database cannot be reached");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(check(&[]).0.contains("Companion    script, embedded\n"));
    let model = [("OPENAI_BASE_URL", "http://localhost:11434/v1"), ("COMPANION_MODEL", "llama3.1")];
    assert!(check(&model).0.contains("Companion    model llama3.1 at localhost:11434, egress any; script, embedded\n"));
    let script = file(
        b"[[language]]\ncode = \"id\"\nmarkers = [\"aku\"]\n[[topic]]\nname = \"silence\"\nreplies.id = [\"a\"]\n\
          [[topic]]\nname = \"fallback\"\nreplies.id = [\"b\"]\n",
    );
    let warning = "Warning      COMPANION_SCRIPT: without a topic \"self_harm\" or \"danger\" no answer has help lines";
    assert!(check(&[("COMPANION_SCRIPT", path(&script))]).0.contains(warning) && !check(&[]).0.contains(warning));
    let (_, errors) = check(&[("COMPANION_SCRIPT", "/nowhere")]);
    assert!(
        errors.contains("the companion is not usable: COMPANION_SCRIPT: cannot read /nowhere: No such"),
        "{errors}"
    );
}
