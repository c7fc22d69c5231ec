//! `WEB_FOLDER`: what cannot be used is named with its file and line, at the start and by `safespace check`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

use crate::support::process::Binary;

/// What `safespace check` says of the page with this folder.
fn problem_with(folder: &str) -> String {
    let data = tempfile::tempdir().unwrap();
    let variables =
        [("HOME", "/nowhere"), ("SAFESPACE_DATA_DIR", data.path().to_str().unwrap()), ("WEB_FOLDER", folder)];
    let output = Binary::new(&variables).argument("check").run();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = error.lines().filter(|line| line.contains("WEB_FOLDER"));
    let found: Vec<String> = lines.map(|line| line.replace(folder, "FOLDER")).collect();
    assert!(output.status.code() == Some(1) && found.len() == 1, "{error}");
    found[0].split_once("WEB_FOLDER: ").unwrap().1.to_owned()
}

#[track_caller]
fn assert_problem(folder: &TempDir, case: &str, expected: &str) {
    let found = problem_with(folder.path().to_str().unwrap());
    assert!(found.starts_with(expected), "{case}\nexpected: {expected}\nfound:    {found}");
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line() {
    let long = format!("[page]\nhelp = {{ en = \"{}\" }}", "x".repeat(401));
    let texts: &[(&str, &str)] = &[
        ("[strat]\n", "line 1: there is no section \"strat\"; did you mean start?"),
        (
            "\n[other]\n",
            "line 2: there is no section \"other\"; there are durations, page, problems, start, state, talk",
        ),
        ("[start]\nbegn = { en = \"x\" }", "line 2: [start] has no text \"begn\"; did you mean begin?"),
        ("[start]\nleave = { en = \"x\" }", "line 2: [start] has no text \"leave\"; there are answers_model, "),
        ("[start]\nbegin = { de = \"x\" }", "line 2: begin has no language \"de\"; there are en, id"),
        ("[start]\nbegin.en = \" \"", "line 2: a text is empty; write one, or delete this line"),
        ("[start]\nbegin.en = \"a\\nb\"", "line 2: a text is one line, without tabs and control characters"),
        (&long, "line 2: a text has more than 400 characters"),
        (
            "[start]\nbegin = \"x\"",
            "line 2: invalid type: string \"x\", expected a map; this has parts of its own, such as { id = \"…\", en = \"…\" }",
        ),
        ("[start]\nbegin.en = 7", "line 2: invalid type: integer `7`, expected a string; put it in quotes: \"7\""),
        ("[start]\nbegin.en = \u{201c}x\u{201d}", "line 2: these are typographic quotes; write \""),
        ("[start]\nbegin.en = \"{host}\"", "line 2: {host} stands for nothing here; this text can have no value"),
        (
            "[start]\nkept.en = \"{idel}\"",
            "line 2: {idel} stands for nothing here; this text can have {idle} and {maximum}",
        ),
        ("[start]\nkept.en = \"{idle\"", "line 2: {idle stands for nothing here; "),
        ("# x\n\nbegin", "line 3: "),
    ];
    let colours: &[(&str, &str)] = &[
        ("[lihgt]\n", "line 1: there is no section \"lihgt\"; did you mean light?"),
        ("[light]\nacent = \"#123456\"", "line 2: [light] has no colour \"acent\"; did you mean accent?"),
        ("[light]\nprimary = \"#123456\"", "line 2: [light] has no colour \"primary\"; there are accent, background, "),
        ("[light]\ntext = \"#123\"", "line 2: \"#123\" is no colour of the form \"#25655f\""),
        ("[light]\ntext = \"black\"", "line 2: \"black\" is no colour"),
        ("[light]\ntext = \"#+12345\"", "line 2: \"#+12345\" is no colour"),
        ("[light]\ntext = \"#000; x\"", "line 2: \"#000; x\" is no colour"),
        (
            "[light]\n\ntext = \"#777777\"",
            "line 3: text #777777 on background #f5f6f3 has a contrast of 4.12 to 1, and WCAG 2.2 needs 4.5 to 1 in [light]; make",
        ),
        // The colour behind is what the operator changed.
        ("[dark]\nleave = \"#803020\"", "line 2: on_leave #33110a on leave #803020 has a contrast of 1.9"),
        ("[dark]\nmodel_bubble = \"#dddddd\"", "line 2: text #e6ecea on model_bubble #dddddd has a contrast of 1."),
        ("[light]\nfocus = \"#bbbbbb\"", "line 2: focus #bbbbbb on background #f5f6f3 has a contrast of 1.7"),
        ("[light]\nfocus = \"#909090\"", "line 2: focus #909090 on background #f5f6f3 has a contrast of 2.9"),
    ];
    let styles: &[(&str, &str)] = &[
        (
            "a {}\n@Import 'x.css';",
            "line 2: @import loads another style, which the page's Content-Security-Policy forbids",
        ),
        ("a { b: url(https://example.org/x.png) }", "line 1: this url(…) is of another host, or a data: URL"),
        ("a {\nb: URL( \"//example.org/x\" ) }", "line 2: this url(…) is of another host"),
        ("a {\nb: url('data:image/png;base64,xx') }", "line 2: this url(…) is of another host, or a data: URL"),
    ];
    for (name, cases) in [("texts.toml", texts), ("colours.toml", colours), ("style.css", styles)] {
        for (content, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), content).unwrap();
            assert_problem(&folder, content, &format!("FOLDER/{name}: {expected}"));
        }
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 64 * 1024]].concat();
    let cases: &[(&str, &[u8], &str)] = &[
        (
            "logo.gif",
            b"GIF",
            "FOLDER has \"logo.gif\", which is no file of the page; take it out, or name it as one of texts.toml, ",
        ),
        ("a\u{1b}[31m\n", b"", "FOLDER has \"a\\u{1b}[31m\\n\", which is no file"),
        ("Texts.toml", b"", "FOLDER has \"Texts.toml\", which is no file"),
        ("texts.toml", b" \n", "FOLDER/texts.toml is empty; write something into it, or leave it out"),
        ("texts.toml", b"\xff", "FOLDER/texts.toml is not UTF-8; save it as UTF-8"),
        ("colours.toml", &[b'#'; 65_537], "FOLDER/colours.toml has more than 65536 bytes"),
        ("style.css", b"\xff", "FOLDER/style.css is not UTF-8"),
        ("style.css", &[b' '; 65_537], "FOLDER/style.css has more than 65536 bytes"),
        ("logo.png", b"GIF89a", "FOLDER/logo.png is not a PNG; save the picture as PNG or SVG"),
        ("logo.png", &png, "FOLDER/logo.png has more than 65536 bytes"),
        ("logo.svg", b"\x89PNG\r\n", "FOLDER/logo.svg is not UTF-8"),
        ("logo.svg", b"<html></html>", "FOLDER/logo.svg: line 1: this is no SVG, which begins with <svg or <?xml"),
        ("logo.svg", b"<?xml version='1.0'?><a/>", "FOLDER/logo.svg: line 1: this is no SVG"),
        ("logo.svg", &[b' '; 65_537], "FOLDER/logo.svg has more than 65536 bytes"),
    ];
    for (name, content, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        assert_problem(&folder, name, expected);
    }
}

#[test]
fn a_folder_with_something_else_than_files_is_refused() {
    type Case = (&'static str, fn(&TempDir), &'static str);
    let cases: &[Case] = &[
        ("a folder", |it| fs::create_dir(it.path().join("texts.toml")).unwrap(), "FOLDER/texts.toml is not a file"),
        (
            "a pipe",
            |it| assert!(Command::new("mkfifo").arg(it.path().join("style.css")).status().unwrap().success()),
            "FOLDER/style.css is not a file",
        ),
        ("a loop", |it| symlink("logo.svg", it.path().join("logo.svg")).unwrap(), "cannot read FOLDER/logo.svg: "),
        ("a link to nothing", |it| symlink("x", it.path().join("logo.png")).unwrap(), "cannot read FOLDER/logo.png: "),
        (
            "two logos",
            |it| {
                fs::write(it.path().join("logo.svg"), "<svg/>").unwrap();
                fs::write(it.path().join("logo.png"), "x").unwrap();
            },
            "FOLDER/logo.png and logo.svg are both there; the page has one logo",
        ),
    ];
    for (case, make, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        make(&folder);
        assert_problem(&folder, case, expected);
    }
    assert!(problem_with("/nowhere/web").starts_with("cannot read the folder FOLDER: No such file"));
    assert!(problem_with("/etc/passwd").starts_with("cannot read the folder FOLDER: Not a directory"));
}

#[test]
fn a_service_with_a_mistake_in_the_folder_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("colours.toml"), "[light]\ntext = \"#ffffff\"\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = Binary::new(&[("DATABASE_URL", "postgres://u:p@localhost/d"), ("WEB_FOLDER", path)]).run();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let expected =
        format!("WEB_FOLDER: {path}/colours.toml: line 2: text #ffffff on background #f5f6f3 has a contrast of 1.08");
    assert!(error.contains(&expected), "{error}");
}
