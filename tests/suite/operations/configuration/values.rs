//! Values of every variable: white space around them, empty ones, what none can be, paths, and secrets from files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::thread;

use safespace::config::{Config, VARIABLES};

use super::{problems, read, server};
use crate::support::variables;

/// A value that the variable can have, and not its default; with the variables that it needs.
fn sample(name: &str) -> (&'static str, Vec<(&'static str, &'static str)>) {
    let server = ("DB_PASSWORD", "p");
    let model = ("COMPANION_MODEL", "m");
    let url = ("OPENAI_BASE_URL", "http://localhost:1/v1");
    match name {
        "DATABASE_URL" => ("postgres://u:p@h/d", vec![]),
        "DB_HOST" => ("db.example.org", vec![server]),
        "DB_NAME" | "DB_USER" => ("a b", vec![server]),
        "DB_PORT" => ("5433", vec![server]),
        "DB_PASSWORD" => ("hunter2", vec![]),
        "DB_SSLMODE" => ("require", vec![server]),
        "DB_LOSS_ACCEPTED" => ("true", vec![]),
        "DB_SSLROOTCERT" => ("system", vec![server, ("DB_SSLMODE", "verify-full")]),
        "DB_DISTRIBUTE" => ("citus", vec![server]),
        "SAFESPACE_DATA_DIR" | "PG_BIN" | "COMPANION_SCRIPT" | "RESOURCES" | "REPORT_TEMPLATES" | "WEB_FOLDER" => {
            ("/some/where", vec![])
        }
        "APP_HOST" => ("127.0.0.1", vec![]),
        "METRICS_HOST" => ("::1", vec![("METRICS_PORT", "1")]),
        "APP_REQUEST_TIMEOUT" => ("20", vec![]),
        "OPENAI_BASE_URL" => (url.1, vec![model]),
        "OPENAI_API_KEY" => ("sk-1", vec![url, model]),
        "GOOGLE_API_KEY" => ("g-1", vec![]),
        "COMPANION_MODEL" => ("m:7b", vec![url]),
        "COMPANION_PROMPT" => ("/some/where", vec![url, model]),
        "COMPANION_EGRESS" => ("local", vec![url, model]),
        "COMPANION_CONTEXT_CHARS" => ("2000", vec![url, model]),
        "COMPANION_TIMEOUT" => ("11", vec![]),
        "SESSION_MAX_BYTES" | "APP_ANSWER_MEMORY" | "DB_MAX_BYTES" => ("5000000", vec![]),
        "RATE_LIMIT" | "RATE_LIMIT_BY_ADDRESS" | "PROOF_OF_WORK" => ("off", vec![]),
        "CORS_ALLOWED_ORIGINS" => ("https://chat.example", vec![]),
        "TRUSTED_PROXIES" => ("10.0.0.0/8", vec![]),
        "WEB_PAGE" => ("off", vec![]),
        "WEB_LANGUAGES" => ("en", vec![]),
        "WEB_EMBED_ORIGINS" => ("https://www.example.org", vec![]),
        "WEB_EXIT_URL" => ("https://weather.example/", vec![]),
        "EXIT_URLS" => ("https://weather.example/", vec![]),
        "STORAGE_RESERVE" => ("7%", vec![]),
        "ENVIRONMENT" => ("production", vec![("DATABASE_URL", "postgres://u:p@h/d")]),
        "LOG_LEVEL" => ("debug", vec![]),
        "RUST_LOG" => ("warn,safespace=debug", vec![]),
        "LOG_FORMAT" => ("json", vec![]),
        "SESSION_IDLE_TIMEOUT" | "SESSION_MAX_AGE" => ("700000", vec![]),
        "APP_MAX_BODY_BYTES" | "APP_MAX_HEAD_BYTES" | "APP_MAX_REQUEST_LINE_BYTES" => ("2000", vec![]),
        _ => ("15", vec![]),
    }
}

/// Everything that was read, also the secrets.
fn everything(config: &Config) -> String {
    let password = match &config.database {
        safespace::config::Database::Server(server) => server.connect.get_password().map(<[u8]>::to_vec),
        safespace::config::Database::Private(_) => None,
    };
    let key =
        config.companion.model.as_ref().and_then(|model| model.api_key.as_ref().map(|key| key.expose().to_owned()));
    format!("{config:?} {password:?} {key:?}")
}

#[test]
fn white_space_and_byte_order_marks_around_every_variable_are_taken_off() {
    for variable in VARIABLES {
        let (value, others) = sample(variable.name);
        let with = |value: &str| {
            let mut all = variables(&others);
            all.insert("HOME".to_owned(), "/h".to_owned());
            all.insert(variable.name.to_owned(), value.to_owned());
            everything(&Config::from_variables(&all).unwrap_or_else(|found| panic!("{}: {found}", variable.name)))
        };
        let expected = with(value);
        for around in [
            " V",
            "V ",
            "V\r",
            "V\n",
            "V\r\n",
            "\tV\t",
            "\u{feff}V",
            "V\u{a0}",
            "\u{200b}V",
            "V\0",
            "\u{2003}V\u{3000}",
        ] {
            assert_eq!(with(&around.replace('V', value)), expected, "{} {around:?}", variable.name);
        }
    }
}

#[test]
fn every_variable_that_is_empty_is_not_set() {
    for variable in VARIABLES {
        let (_, others) = sample(variable.name);
        let with = |value: Option<&str>| {
            let mut all = variables(&others);
            all.insert("HOME".to_owned(), "/h".to_owned());
            value.map(|value| all.insert(variable.name.to_owned(), value.to_owned()));
            Config::from_variables(&all).map(|config| everything(&config))
        };
        for empty in ["", " ", "\r\n", "\u{feff}"] {
            assert_eq!(with(Some(empty)), with(None), "{}={empty:?}", variable.name);
        }
        if variable.secret {
            let files = [("HOME", "/h"), (&*format!("{}_FILE", variable.name), " \r")];
            assert!(Config::from_variables(&variables(&files)).is_ok(), "{}", variable.name);
        }
    }
}

#[test]
fn a_control_character_inside_every_variable_is_a_problem_that_does_not_quote_it() {
    for variable in VARIABLES {
        let (value, others) = sample(variable.name);
        for character in ['\n', '\t', '\u{1b}', '\0'] {
            let value = format!("{}{character}hunter2{}", &value[..1], &value[1..]);
            let found = problems(&[&[("HOME", "/h"), (variable.name, &value)], others.as_slice()].concat());
            let expected = format!("{}: it has a line break or another control character inside", variable.name);
            assert!(found.contains(&expected) && !found.concat().contains("hunter2"), "{}: {found:?}", variable.name);
        }
    }
}

#[test]
fn quotes_around_a_value_are_a_problem_and_around_a_secret_a_warning() {
    // docker run --env-file passes them on.
    for variable in VARIABLES {
        let (value, others) = sample(variable.name);
        for (open, close) in [('"', '"'), ('\'', '\''), ('“', '”'), ('„', '“'), ('‘', '’'), ('«', '»')] {
            let quoted = format!("{open}{value}{close}");
            let given = [&[("HOME", "/h"), (variable.name, &quoted)], others.as_slice()].concat();
            let told = match Config::from_variables(&variables(&given)) {
                Ok(config) if variable.secret => config.warnings(),
                Ok(_) => panic!("{quoted} is accepted for {}", variable.name),
                Err(found) => found.0,
            };
            let is_told = |text: &String| text.starts_with(variable.name) && text.contains("quote");
            assert!(told.iter().any(is_told), "{}: {told:?}", variable.name);
        }
    }
}

#[test]
fn all_variables_that_are_not_utf8_are_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_safespace"));
    command.env_clear().arg("check").current_dir("/");
    for variable in VARIABLES {
        command.env(variable.name, OsStr::from_bytes(b"hunter2\xe9"));
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    for variable in VARIABLES {
        assert!(errors.contains(&format!("{}: not UTF-8", variable.name)), "{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn values_that_cannot_be_right_are_refused_by_name() {
    for (name, value, problem) in [
        ("RUST_LOG", "info,safespace=loud", "is not a filter"),
        ("APP_PORT", "8000/tcp", "is not a whole number"),
        ("APP_PORT", "8,000", "is not a whole number"),
        ("APP_WORKERS", "0x10", "is not a whole number"),
        ("RATE_LIMIT", "false", "is not one of on, off"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "is not an address"),
        ("EXIT_URLS", ",", "it names no URL"),
        ("EXIT_URLS", "https://a.example, www.google.com", "\"www.google.com\" is not a URL such as"),
        ("EXIT_URLS", "javascript:alert(1)", "is not a URL such as"),
        ("EXIT_URLS", "https://", "is not a URL such as"),
        ("EXIT_URLS", "https://a.example/\u{e9}", "is not a URL such as"),
        ("EXIT_URLS", "https://a.example/\"><b", "is not a URL such as"),
        ("EXIT_URLS", &format!("https://a.example/{}", "a".repeat(183)), "has more than 200 bytes"),
        ("WEB_PAGE", "yes", "\"yes\" is not one of on, off"),
        ("WEB_NAME", &"é".repeat(61), "it has more than 60 characters"),
        ("WEB_NAME", "a\nb", "it has a line break or another control character inside"),
        ("WEB_NAME", "a\u{1b}[0mb", "it has a line break or another control character inside"),
        ("WEB_LANGUAGES", "id,fr", "\"fr\" is not one of id, en"),
        ("WEB_LANGUAGES", ",", "it names no language; write id, en, or both"),
        ("WEB_EXIT_URL", "www.google.com", "\"www.google.com\" is not a URL such as"),
        ("WEB_EXIT_URL", "javascript:alert(1)", "is not a URL such as"),
        ("WEB_FOLDER", "$HOME/page", "does not expand variables"),
        ("WEB_EMBED_ORIGINS", "*", "name the origins"),
        ("WEB_EMBED_ORIGINS", "https://www.example.org/", "has a path"),
        ("SAFESPACE_DATA_DIR", "$HOME/data", "does not expand variables"),
        ("SAFESPACE_DATA_DIR", "~other/data", "write the whole path"),
    ] {
        let found = problems(&[("HOME", "/h"), (name, value)]);
        let is_found = |text: &String| text.starts_with(&format!("{name}: ")) && text.contains(problem);
        assert!(found.len() == 1 && is_found(&found[0]), "{name}={value}: {found:?}");
    }
}

#[test]
fn a_tilde_in_every_path_is_the_home_folder() {
    let home = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap().cert.pem();
    fs::write(home.path().join("a"), "postgres://u:p@h/d\n").unwrap();
    fs::write(home.path().join("key"), "sk-1").unwrap();
    fs::write(home.path().join("ca"), certificate).unwrap();
    let folder = home.path().to_str().unwrap();
    let home = ("HOME", folder);
    let model = [home, ("COMPANION_MODEL", "m"), ("OPENAI_BASE_URL", "http://localhost:1")];
    let full = |pairs: &[(&str, &str)]| everything(&read(pairs));
    for (name, path, others) in [
        ("SAFESPACE_DATA_DIR", "~/data", vec![home]),
        ("SAFESPACE_DATA_DIR", "~", vec![home]),
        ("PG_BIN", "~/bin", vec![home]),
        ("COMPANION_SCRIPT", "~/script.toml", vec![home]),
        ("WEB_FOLDER", "~/page", vec![home]),
        ("COMPANION_PROMPT", "~/prompt.md", model.to_vec()),
        ("DB_SSLROOTCERT", "~/ca", vec![home, ("DB_PASSWORD", "p"), ("DB_SSLMODE", "verify-ca")]),
        ("DB_HOST", "~/run", vec![home, ("DB_PASSWORD", "p")]),
        ("DATABASE_URL_FILE", "~/a", vec![home]),
        ("DB_PASSWORD_FILE", "~/a", vec![home]),
        ("OPENAI_API_KEY_FILE", "~/key", model.to_vec()),
    ] {
        let with = |path: &str| full(&[others.as_slice(), &[(name, path)]].concat());
        assert_eq!(with(path), with(path.replacen('~', folder, 1).trim_end_matches('/')), "{name}");
    }
    let found = problems(&[("PG_BIN", "~/bin"), ("SAFESPACE_DATA_DIR", "/d")]);
    assert_eq!(found, ["PG_BIN: it begins with ~, and HOME is not set; write the whole path"]);
}

#[test]
fn a_relative_xdg_data_home_is_ignored() {
    if nix::unistd::geteuid().is_root() {
        return; // Root's data is elsewhere.
    }
    let config = read(&[("HOME", "/h"), ("XDG_DATA_HOME", "data")]);
    assert!(format!("{:?}", config.database).contains("/h/.local/share/safespace"));
}

#[test]
fn every_secret_can_come_from_a_file_without_what_is_around_it() {
    let folder = tempfile::tempdir().unwrap();
    for secret in VARIABLES.iter().filter(|variable| variable.secret) {
        let (value, others) = sample(secret.name);
        let file_name = format!("{}_FILE", secret.name);
        let expected = everything(&read(&[others.as_slice(), &[("HOME", "/h"), (secret.name, value)]].concat()));
        for around in ["V", "V\n", "V\r\n", "V\n\n", "\u{feff}V\r\n", " V ", "V\0"] {
            let file = folder.path().join(secret.name);
            fs::write(&file, around.replace('V', value)).unwrap();
            let path = format!(" {}\r", file.display());
            let mut found = read(&[others.as_slice(), &[("HOME", "/h"), (&file_name, &path)]].concat());
            assert_eq!(std::mem::take(&mut found.secret_files), [file.as_path()], "{file_name}");
            assert_eq!(everything(&found), expected, "{file_name} {around:?}");
        }
        for (content, problem) in [
            (b"\n".as_slice(), "is empty"),
            (b"hunter2\nhunter2", "control character"),
            (b"\xff\xfeh\0", "UTF-8"),
            (&[b'x'; 70_000], "more than 65536 bytes"),
        ] {
            let file = folder.path().join(secret.name);
            fs::write(&file, content).unwrap();
            let given = [others.as_slice(), &[("HOME", "/h"), (&file_name, file.to_str().unwrap())]].concat();
            let found = problems(&given);
            let is_found = found.len() == 1 && found[0].starts_with(secret.name) && found[0].contains(problem);
            assert!(is_found && !found[0].contains("hunter2"), "{file_name}: {found:?}");
        }
        let both = [others.as_slice(), &[("HOME", "/h"), (secret.name, value), (&file_name, "/dev/null")]].concat();
        assert_eq!(problems(&both), [format!("{file_name}: {} is set too; keep one of them", secret.name)]);
    }
}

#[test]
fn an_unreadable_secret_is_one_problem() {
    let found = problems(&[("DB_HOST", "h"), ("DB_PASSWORD_FILE", "/nowhere")]);
    assert_eq!(found, ["DB_PASSWORD_FILE: cannot read /nowhere: No such file or directory (os error 2)"]);
    let found = problems(&[("ENVIRONMENT", "production"), ("DATABASE_URL_FILE", "/dev/null")]);
    assert_eq!(found, ["DATABASE_URL_FILE: /dev/null is empty"]);
}

#[test]
fn a_secret_file_may_be_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, "hunter2\n").unwrap());
        let config = read(&[("DB_HOST", "h"), ("DB_PASSWORD_FILE", pipe.to_str().unwrap())]);
        assert_eq!(server(&config).connect.get_password(), Some(b"hunter2".as_slice()));
    });
}
