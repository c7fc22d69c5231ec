//! The settings of the companion: which one answers, its bounds, and what is told of them.

use safespace::companion::{self, MOST_FILE_BYTES};
use safespace::config::{Companion, Config, Kind, ModelSettings};

use crate::support::process::Binary;
use crate::support::variables;

fn read(pairs: &[(&str, &str)]) -> Config {
    Config::from_variables(&variables(pairs)).unwrap()
}

/// The problems of a configuration that cannot be used, a line each.
#[track_caller]
fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    Config::from_variables(&variables(pairs)).unwrap_err().0
}

/// The companion of a configuration that is usable otherwise.
fn companion_of(pairs: &[(&str, &str)]) -> Companion {
    let mut all = vec![("HOME", "/h")];
    all.extend_from_slice(pairs);
    read(&all).companion
}

#[track_caller]
fn model_of(pairs: &[(&str, &str)]) -> ModelSettings {
    match companion_of(pairs).kind {
        Kind::Model(settings) => settings,
        Kind::Script { .. } => panic!("a script"),
    }
}

#[test]
fn a_model_answers_where_one_is_named() {
    let url = ("OPENAI_BASE_URL", "http://[::1]:11434/v1/");
    let model = model_of(&[url, ("COMPANION_MODEL", "llama3.1"), ("COMPANION_PROMPT", "p.md")]);
    assert_eq!((model.base_url.to_string().as_str(), model.host()), ("http://[::1]:11434/v1", "::1"));
    assert_eq!((model.model.as_str(), model.context_chars, model.local_only), ("llama3.1", 24_000, false));
    assert!(model.api_key.is_none() && model.sends_store && model.prompt.is_some());
    let google = model_of(&[("GOOGLE_API_KEY", "g")]);
    assert_eq!(google.base_url.to_string(), "https://generativelanguage.googleapis.com/v1beta/openai");
    assert_eq!((google.model.as_str(), google.api_key.unwrap().expose()), ("gemini-2.5-flash-lite", "g"));
    assert_eq!(model_of(&[("GOOGLE_API_KEY", "g"), ("COMPANION_MODEL", "other")]).model, "other");
    let mistral = model_of(&[("OPENAI_BASE_URL", "https://API.mistral.ai/v1"), ("COMPANION_MODEL", "m")]);
    assert!(!mistral.sends_store);
    // A base URL wins, and its key is its own.
    let both = model_of(&[url, ("COMPANION_MODEL", "m"), ("OPENAI_API_KEY", "o"), ("GOOGLE_API_KEY", "g")]);
    assert_eq!((both.host(), both.api_key.as_ref().unwrap().expose()), ("::1", "o"));
    assert!(matches!(companion_of(&[("OPENAI_API_KEY", "o")]).kind, Kind::Script { .. }));
    let told = [url, ("COMPANION_MODEL", "m"), ("COMPANION_EGRESS", "local")];
    assert_eq!(companion_of(&told).to_string(), "model m at [::1]:11434, egress local");
    assert_eq!(companion_of(&[("COMPANION_SCRIPT", "/s")]).to_string(), "script, /s");
}

#[test]
fn the_companions_default_bounds_give_way_to_the_services() {
    let bounds = |pairs: &[(&str, &str)]| (companion_of(pairs).timeout.as_millis(), companion_of(pairs).concurrency);
    assert_eq!(bounds(&[("APP_REQUEST_TIMEOUT", "10"), ("APP_WORKERS", "1")]), (8000, 1));
    assert_eq!(bounds(&[("COMPANION_TIMEOUT", "29"), ("COMPANION_CONCURRENCY", "3")]), (29_000, 3));
}

#[test]
fn what_a_companion_cannot_be_is_a_problem() {
    let model = ("COMPANION_MODEL", "m");
    let local = ("COMPANION_EGRESS", "local");
    for (pairs, problem) in [
        (vec![("COMPANION_TIMEOUT", "1")], "COMPANION_TIMEOUT: \"1\" is not a whole number from 2 to 300"),
        (vec![("COMPANION_TIMEOUT", "30")], "COMPANION_TIMEOUT: 30 is not less than APP_REQUEST_TIMEOUT, 30"),
        (vec![("COMPANION_CONCURRENCY", "0")], "COMPANION_CONCURRENCY: \"0\" is not a whole number from 1 to 1024"),
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
        (vec![("GOOGLE_API_KEY", "hunter2 ")], "GOOGLE_API_KEY: it has a space"),
        (
            vec![("OPENAI_BASE_URL", "http://h"), model, ("OPENAI_API_KEY", "hunter2\n")],
            "OPENAI_API_KEY: it has a space",
        ),
        (vec![("OPENAI_API_KEY_FILE", "/nowhere")], "OPENAI_API_KEY_FILE: cannot read /nowhere"),
    ] {
        let mut all = vec![("HOME", "/h")];
        all.extend_from_slice(&pairs);
        let found = problems(&all);
        assert!(found.len() == 1 && found[0].starts_with(problem), "{pairs:?}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_key_can_come_from_a_file_and_is_in_no_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2\n").unwrap();
    for name in ["GOOGLE_API_KEY_FILE", "OPENAI_API_KEY_FILE"] {
        let mut pairs = vec![("HOME", "/h"), (name, file.to_str().unwrap())];
        if name.starts_with("OPENAI") {
            pairs.extend([("OPENAI_BASE_URL", "http://localhost/v1"), ("COMPANION_MODEL", "m")]);
        }
        let config = read(&pairs);
        assert_eq!(model_of(&pairs).api_key.unwrap().expose(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.warnings(), Vec::<String>::new());
    }
}

#[test]
fn what_is_set_for_a_companion_and_not_used_is_a_warning_and_so_is_a_readable_way_to_it() {
    let warnings = |pairs: &[(&str, &str)]| {
        let mut all = vec![("HOME", "/h")];
        all.extend_from_slice(pairs);
        read(&all).warnings()
    };
    let at = |url| [("OPENAI_BASE_URL", url), ("COMPANION_MODEL", "m")];
    for (pairs, name) in [
        (vec![("OPENAI_API_KEY", "k")], "OPENAI_API_KEY is set and not used"),
        (vec![("COMPANION_MODEL", "m")], "COMPANION_MODEL is set and not used"),
        (vec![("COMPANION_PROMPT", "/p")], "COMPANION_PROMPT is set and not used"),
        (vec![("GOOGLE_API_KEY", "k"), ("COMPANION_SCRIPT", "/s")], "COMPANION_SCRIPT is set and not used"),
        (vec![("GOOGLE_API_KEY", "k"), ("OPENAI_API_KEY", "k")], "OPENAI_API_KEY is set and not used"),
        ([&at("http://localhost")[..], &[("GOOGLE_API_KEY", "k")]].concat(), "GOOGLE_API_KEY is set and not used"),
        (vec![("COMPANION_TIME", "9")], "COMPANION_TIME is set and means nothing"),
        (
            vec![("COMPANION_CONCURRENCY", "64")],
            "APP_WORKERS is 64 and should be more than 91 (COMPANION_CONCURRENCY and 27)",
        ),
        (at("http://8.8.8.8").to_vec(), "OPENAI_BASE_URL is plain http"),
        (at("http://models.example.org").to_vec(), "OPENAI_BASE_URL is plain http"),
    ] {
        let found = warnings(&pairs);
        assert!(found.len() == 1 && found[0].starts_with(name), "{pairs:?}: {found:?}");
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
fn a_file_of_the_companions_that_cannot_be_used_is_told_by_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good", "\u{feff}Listen.".as_bytes());
    let most = write("most", &vec![b'a'; MOST_FILE_BYTES]);
    let nowhere = folder.path().join("nowhere").to_str().unwrap().to_owned();
    for (path, problem) in [
        (&good, ""),
        (&most, ""),
        (&write("large", &vec![b'a'; MOST_FILE_BYTES + 1]), "has more than 262144 bytes"),
        (&write("latin", b"\xe9"), "is not UTF-8"),
        (&write("blank", b" \n"), "is empty"),
        (&nowhere, "No such file"),
    ] {
        let script = [("COMPANION_SCRIPT", path.as_str())];
        let prompt =
            [("COMPANION_PROMPT", path.as_str()), ("OPENAI_BASE_URL", "http://localhost"), ("COMPANION_MODEL", "m")];
        for (variable, pairs) in [("COMPANION_SCRIPT", &script[..]), ("COMPANION_PROMPT", &prompt)] {
            // What a script may say is not looked at here.
            if problem.is_empty() && variable == "COMPANION_SCRIPT" {
                continue;
            }
            match companion::open(&companion_of(pairs)) {
                Ok(_) => assert_eq!(problem, "", "{path}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!problem.is_empty() && error.starts_with(variable) && error.contains(problem), "{error}");
                }
            }
        }
    }
}

#[test]
fn check_says_who_answers_and_fails_where_nobody_can() {
    let check = |pairs: &[(&str, &str)]| {
        let mut all = vec![("HOME", "/h"), ("DB_HOST", "127.0.0.1"), ("DB_PORT", "1"), ("DB_PASSWORD", "p")];
        all.extend_from_slice(pairs);
        let output = Binary::new(&all).argument("check").run();
        assert_eq!(output.status.code(), Some(1), "there is no database");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(check(&[]).0.contains("Companion    script, embedded\n"));
    let model = [("OPENAI_BASE_URL", "http://localhost:11434/v1"), ("COMPANION_MODEL", "llama3.1")];
    assert!(check(&model).0.contains("Companion    model llama3.1 at localhost:11434, egress any\n"));
    let (_, errors) = check(&[("COMPANION_SCRIPT", "/nowhere")]);
    assert!(
        errors.contains("the companion is not usable: COMPANION_SCRIPT: cannot read /nowhere: No such"),
        "{errors}"
    );
}
