//! `WEB_FOLDER`: what an operator puts there is what people get, and how large the page is.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::support::app::TestApp;
use crate::support::http::Client;
use crate::support::process::Binary;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more";

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn start(folder: &TempDir, further: &[(&str, &str)]) -> TestApp {
    let variable = ("WEB_FOLDER", folder.path().to_str().unwrap());
    TestApp::with(&[further, &[variable]].concat())
}

/// The start page in a language.
#[track_caller]
fn page(client: &Client, language: &str) -> String {
    client.get_as(&format!("/?language={language}"), "text/html").assert_status(200).text()
}

#[track_caller]
fn style(client: &Client) -> String {
    client.get("/page/style.css").assert_status(200).text()
}

#[test]
fn a_text_of_the_folder_takes_the_place_of_one_text_in_one_language() {
    let plain = TestApp::start();
    let folder = folder(&[("texts.toml", b"[start]\nbegin = { en = \"Talk to <us>\" }\n".as_slice())]);
    let app = start(&folder, &[]);
    assert!(page(&plain.client, "en").contains("<span data-t=\"begin\">Begin</span>"));
    let changed = page(&app.client, "en");
    assert!(changed.contains("<span data-t=\"begin\">Talk to &#60;us&#62;</span>"), "{changed}");
    let that_it_is_changed = "<li>Pengelola halaman ini mengubah sebagian kata atau tampilannya. Kalimat di daftar ini berasal dari programnya.</li>";
    let other = page(&app.client, "id");
    assert!(other.contains(that_it_is_changed), "{other}");
    assert_eq!(other.replace(that_it_is_changed, ""), page(&plain.client, "id"));
}

#[test]
fn colours_of_the_folder_are_properties_in_front_of_the_style() {
    let plain = TestApp::start();
    let colours = "\u{feff}dark.accent = \"#FFFFFF\"\n[light]\nbackground = \"#fefefe\"\n";
    let app = start(&folder(&[("colours.toml", colours.as_bytes())]), &[]);
    let (embedded, changed) = (style(&plain.client), style(&app.client));
    assert!(embedded.starts_with(":root { --accent: #25655f; --background: #f5f6f3;"), "{embedded}");
    assert!(changed.starts_with(":root { --accent: #25655f; --background: #fefefe;"), "{changed}");
    let dark = "\n@media (prefers-color-scheme: dark) { :root { --accent: #";
    assert!(embedded.contains(&format!("{dark}86cabe;")), "{embedded}");
    assert!(changed.contains(&format!("{dark}FFFFFF;")), "{changed}");
    // Both are followed by the same style.
    let rest = |style: &str| style.splitn(3, '\n').nth(2).unwrap().to_owned();
    assert!(rest(&embedded) == rest(&changed) && rest(&embedded).ends_with(include_str!("../../../src/web/style.css")));

    let tag = |app: &TestApp| app.client.get("/page/style.css").header("ETag").unwrap().to_owned();
    let (old, new) = (tag(&plain), tag(&app));
    assert_ne!(old, new, "a browser keeps the old colours");
    for (known, status) in [(&old, 200), (&new, 304)] {
        app.client.send_with("GET", "/page/style.css", &[("If-None-Match", known)]).assert_status(status);
    }
}

#[test]
fn a_style_of_the_folder_takes_the_place_of_the_embedded_one_and_keeps_the_colours() {
    let own = "/* http://example.org/ */ body { color: var(--text); background: url(\"/page/logo\"), url( '#a:b' ) }";
    let app = start(&folder(&[("style.css", own.as_bytes())]), &[]);
    let style = style(&app.client);
    assert!(style.starts_with(":root { --accent: ") && style.ends_with(own), "{style}");
}

#[test]
fn a_logo_of_the_folder_is_served_with_its_media_type() {
    let svg = b"<?xml version=\"1.0\"?>\n<!-- x -->\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>".as_slice();
    for (name, content, media_type) in [
        ("logo.svg", svg, "image/svg+xml"),
        ("logo.svg", b"<svg/>", "image/svg+xml"),
        ("logo.svg", b"<!-- x --><svg/>", "image/svg+xml"),
        ("logo.png", PNG, "image/png"),
    ] {
        let app = start(&folder(&[(name, content)]), &[]);
        let logo = app.client.get("/page/logo").assert_status(200);
        assert_eq!((logo.header("Content-Type"), logo.body.as_slice()), (Some(media_type), content));
        assert_eq!(logo.header("Content-Security-Policy"), Some("default-src 'none'"));
    }
}

#[test]
fn hidden_files_backups_and_links_do_no_harm() {
    // As in a mounted ConfigMap of Kubernetes.
    let folder = folder(&[(".texts.toml.swp", b"x"), ("texts.toml~", b"x"), (".new.css", b"body {}")]);
    symlink(".new.css", folder.path().join("style.css")).unwrap();
    let app = start(&folder, &[]);
    assert!(style(&app.client).ends_with("\nbody {}"));
}

#[test]
fn the_name_and_one_language_are_what_the_page_has() {
    let app = TestApp::with(&[("WEB_NAME", "Ruang <A>"), ("WEB_LANGUAGES", "id")]);
    let page = page(&app.client, "en");
    assert!(page.contains("<html lang=\"id\">") && page.contains("<title>Ruang &#60;A&#62;</title>"), "{page}");
    assert!(page.contains(">Mulai</span>") && !page.contains("?language=en"), "{page}");
}

#[test]
fn without_a_page_the_folder_is_not_read_and_the_operator_is_warned() {
    let folder = folder(&[("anything", b"x")]);
    let app = start(&folder, &[("WEB_PAGE", "off")]);
    app.client.get("/page/style.css").assert_problem(404);
    let path = folder.path().to_str().unwrap();
    let output = Binary::new(&[("HOME", path), ("WEB_FOLDER", path), ("WEB_PAGE", "off")]).argument("check").run();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("Page         off\n"), "{report}");
    assert!(report.contains("Warning      WEB_FOLDER is set and not used: WEB_PAGE is off\n"), "{report}");
}

#[test]
fn the_page_and_its_files_are_small() {
    let app = TestApp::start();
    let size = |path| app.client.get_as(path, "text/html").assert_status(200).body.len();
    let widget = size("/widget.js");
    let all: usize = ["/", "/page/style.css", "/page/page.js", "/page/logo"].into_iter().map(size).sum();
    assert!(all + widget < 60 * 1024, "{} bytes", all + widget);
    assert!(widget < 5 * 1024, "{widget} bytes");
}
