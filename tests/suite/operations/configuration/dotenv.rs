//! The file `.env`: what is read, what is an error with its line, and what is passed over.

use crate::support::process::Binary;

/// What `safespace check` says with this file, and a server that does not listen: findings, and problems.
fn check(file: impl AsRef<[u8]>) -> (String, String) {
    let server = [("HOME", "/h"), ("DB_HOST", "127.0.0.1"), ("DB_PORT", "1"), ("DB_PASSWORD", "hunter2")];
    let output = Binary::new(&server).file(".env", file).argument("check").run();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn lines_that_every_program_reads_alike_are_read() {
    for (file, database) in [
        ("DB_NAME=plain", "plain"),
        ("export DB_NAME=x", "x"),
        ("export\tDB_NAME=x", "x"),
        ("  DB_NAME = x  ", "x"),
        ("DB_NAME=x # a comment", "x"),
        ("DB_NAME=x  # don't\nLOG_LEVEL=info\n# that's it", "x"),
        ("DB_NAME=a#b", "a#b"),
        ("DB_NAME=''", "safespace_dev"),
        ("DB_NAME=", "safespace_dev"),
        ("DB_NAME= # to be set", "safespace_dev"),
        ("export DB_NAME=", "safespace_dev"),
        ("DB_NAME=\nDB_NAME=y", "y"),
        ("DB_NAME='a b' # c", "a b"),
        ("DB_NAME='$PG_NAME'", "$PG_NAME"),
        ("DB_NAME='a\\b#c\"'", "a\\b#c\""),
        ("DB_NAME=\"it's\"", "it's"),
        ("DB_NAME=\"\\$x\\\\y\"", "$x\\y"),
        ("\u{feff}DB_NAME=x", "x"),
        ("# a\r\nDB_NAME=x\r\n", "x"),
        ("# a\rDB_NAME=x\rLOG_LEVEL=info", "x"),
        ("DB_NAME=' x\u{feff}'", "x"),
    ] {
        let (findings, problems) = check(file);
        let expected = format!("Database     {database} as postgres at 127.0.0.1:1\n");
        assert!(findings.contains(&expected), "{file:?}: {findings} {problems}");
    }
}

#[test]
fn lines_that_cannot_be_read_safely_are_errors_with_their_number() {
    for (file, problem) in [
        ("DB_USER=$PG_OWNER", "line 1: the value of DB_USER has a $"),
        ("DB_USER=${PG_OWNER}", "line 1: the value of DB_USER has a $"),
        ("DB_USER=\"$PG_OWNER\"", "line 1: the value of DB_USER has a $"),
        ("DB_USER=pa$", "line 1: the value of DB_USER has a $"),
        ("NOTE=it's\nDB_NAME=x\nNOTE2=that's", "line 1: the value of NOTE has a '"),
        ("\nNOTE=\"a\nDB_NAME=x\nb\"", "line 2: the value of NOTE has a \""),
        ("KEY=\"-----BEGIN\nMII=\n-----END\"", "line 1: the value of KEY has a \""),
        ("DB_NAME='x\ny'", "line 1: the value of DB_NAME has a quote that is not closed"),
        ("DB_NAME=\"x\ny\"", "line 1: the value of DB_NAME has a quote that is not closed"),
        ("DB_NAME=it's", "line 1: the value of DB_NAME has a quote inside"),
        ("DB_NAME=pa'ss'word", "line 1: the value of DB_NAME has a quote inside"),
        ("DB_NAME='it'\\''s'", "line 1: the value of DB_NAME has"),
        ("DB_NAME='a'b", "line 1: the value of DB_NAME has"),
        ("# c\r\n\r\nDB_NAME=a b\r\n", "line 3: the value of DB_NAME has white space"),
        ("DB_NAME=x\\\nDB_USER=y", "line 1: the value of DB_NAME ends with a \\"),
        ("DB_NAME=a\\b", "line 1: the value of DB_NAME has a \\"),
        ("DB_NAME=#x", "line 1: the value of DB_NAME begins with #"),
        ("export DB_NAME", "line 1: it names DB_NAME, and is not DB_NAME=value"),
        ("DB_NAME: x", "line 1: it names DB_NAME, and is not DB_NAME=value"),
        ("set DB_NAME=x", "line 1: it names DB_NAME, and is not DB_NAME=value"),
        ("DB_PASSWORD_FILE /run/secret", "line 1: it names DB_PASSWORD_FILE"),
        ("DB_NAME=x\n\nDB_NAME=y", "line 3: DB_NAME is set in line 1 too"),
        ("XDG_DATA_HOME=$HOME/data", "line 1: the value of XDG_DATA_HOME has a $"),
    ] {
        let (findings, problems) = check(file);
        assert!(findings.is_empty() && problems.contains(&format!(".env: {problem}")), "{file:?}: {problems}");
    }
    for (file, problem) in [
        (b"DB_NAME=\xe9".as_slice(), ".env: line 1: the value of DB_NAME is not UTF-8"),
        (b"\xff\xfeD\0B\0_\0N\0A\0M\0E\0=\0x\0", ".env: not UTF-8"),
    ] {
        let (findings, problems) = check(file);
        assert!(findings.is_empty() && problems.contains(problem), "{file:?}: {problems}");
    }
}

#[test]
fn lines_of_other_programs_are_passed_over() {
    for file in [
        b"GREETING=Hello World".as_slice(),
        b"GREETING=don't panic",
        b"GREETING=\"a \\\"quoted\\\" word\" 'and more",
        b"PROMPT=$USER\\",
        b"A LINE",
        b"source ./other.env",
        b"[section]",
        b"other-name=a b",
        b"caf\xe9=\xe9",
        b"# caf\xe9 isn't here",
    ] {
        let file = [file, b"\nDB_NAME=x"].concat();
        let (findings, problems) = check(&file);
        assert!(findings.contains("x as postgres at"), "{}: {problems}", String::from_utf8_lossy(&file));
    }
}

#[test]
fn misspelled_names_in_a_dotenv_file_are_told_whatever_their_value() {
    let (findings, _) = check("DB_NAEM=Hello World\nDATABASE_UR=postgres://u:hunter2@h/d\n");
    for warning in [
        "DB_NAEM is set and means nothing; did you mean DB_NAME?",
        "DATABASE_UR is set and means nothing; did you mean DATABASE_URL?",
    ] {
        assert!(findings.contains(warning) && !findings.contains("hunter2"), "{findings}");
    }
}

#[test]
fn an_empty_variable_of_the_environment_leaves_the_dotenv_file_in_force() {
    for empty in ["", " ", "\r\n"] {
        let given = [("HOME", "/h"), ("DB_PASSWORD", empty), ("ENVIRONMENT", empty), ("DB_NAME", empty)];
        let file = "DB_HOST=127.0.0.1\nDB_PORT=1\nDB_NAME=x\nDB_PASSWORD=hunter2\n";
        let output = Binary::new(&given).file(".env", file).argument("check").run();
        let findings = String::from_utf8(output.stdout).unwrap();
        assert!(findings.contains("x as postgres at 127.0.0.1:1"), "{empty:?}: {findings}");
    }
}

#[test]
fn the_url_of_a_service_link_in_a_dotenv_file_is_a_problem() {
    let output = Binary::new(&[("HOME", "/h")]).file(".env", "APP_PORT=tcp://10.0.0.1:80").argument("check").run();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(problems.contains("APP_PORT: \"tcp://10.0.0.1:80\" is not a whole number"), "{problems}");
}

#[test]
fn a_dotenv_file_is_read_and_the_environment_takes_precedence() {
    let dotenv = "APP_PORT=none\nLOG_FORMAT='xml' # a comment\n";
    let output = Binary::new(&[("LOG_FORMAT", "yaml"), ("HOME", "/h")]).file(".env", dotenv).argument("check").run();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("APP_PORT: \"none\"") && errors.contains("LOG_FORMAT: \"yaml\""), "{errors}");
}

#[test]
fn production_reads_no_dotenv_file() {
    let output = Binary::new(&[("ENVIRONMENT", "production")])
        .file(".env", "DATABASE_URL=postgres://u:p@h/d\nAPP_PORT=none\n")
        .argument("check")
        .run();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("DATABASE_URL: required in production") && !errors.contains("APP_PORT"), "{errors}");
}

#[test]
fn production_cannot_be_set_in_a_dotenv_file() {
    let output = Binary::new(&[("HOME", "/h")]).file(".env", "ENVIRONMENT=production\n").argument("check").run();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ENVIRONMENT: production reads no .env"));
}

#[test]
fn the_problems_of_a_dotenv_file_and_of_the_environment_are_reported_together() {
    let dotenv = "DB_HOST h\nENVIRONMENT=production\nLOG_FORMAT=xml\n";
    let output = Binary::new(&[("HOME", "/h"), ("APP_PORT", "none")]).file(".env", dotenv).argument("check").run();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    for problem in [".env: line 1", "ENVIRONMENT: production", "APP_PORT: \"none\"", "LOG_FORMAT: \"xml\""] {
        assert!(errors.contains(problem), "{errors}");
    }
}

#[test]
fn of_many_wrong_lines_and_names_twenty_are_told() {
    let lines = "DB_NAME=a b\n".repeat(5000);
    let (_, problems) = check(&lines);
    assert!(problems.contains(".env: line 20: ") && problems.contains(".env: and 4980 more lines"), "{problems}");
    let names: String = (0..5000).map(|number| format!("DB_X{number}=1\n")).collect();
    let (_, problems) = check(lines + &names);
    assert_eq!(problems.matches("means nothing").count(), 20, "{problems}");
    assert!(problems.contains("and 4980 more variables that mean nothing"), "{problems}");
    assert!(problems.lines().count() < 60, "{problems}");
    let (_, problems) = check("DB_NAME=a b\n".repeat(20));
    assert!(!problems.contains(" more "), "{problems}");
}

#[test]
fn a_malformed_dotenv_file_is_reported_without_its_lines() {
    let output =
        Binary::new(&[("HOME", "/h")]).file(".env", "# first\nDB_PASSWORD=hunter2 and more\n").argument("check").run();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains(".env: line 2: the value of DB_PASSWORD") && !errors.contains("hunter2"), "{errors}");
}
