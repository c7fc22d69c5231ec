//! Rules about the source itself: which module may import which, the length of a file, its first line.

mod imports;
mod lexer;
mod made_up_trees;

use std::fs;
use std::path::{Path, PathBuf};

use imports::Imports;

/// The folders of the crates' roots.
const CRATES: [&str; 5] = ["src", "benches/abuse", "benches/performance", "benches/soak", "tests/suite"];

/// The module that all benches include by its path.
const SUPPORT: &str = "benches/support";

const MAX_LINES: usize = 400;

/// Modules that import no other module of the program but these.
const INDEPENDENT: [(&str, &[&str]); 5] = [
    ("config", &["language", "peers"]),
    ("http", &["memory", "peers"]),
    ("memory", &[]),
    ("peers", &[]),
    ("sync", &["memory"]),
];

/// Words, in lower case, that the text of a module must not have: the program's name, the HTTP client.
const UNKNOWN_WORDS: [(&str, &str); 4] =
    [("config", "ureq"), ("http", "safespace"), ("peers", "safespace"), ("sync", "safespace")];

/// Pairs of modules of which the first must not import the second, although the order would allow it.
const SEPARATE: [(&str, &str); 1] = [("private_postgres", "store")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder of the repository.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The files of a crate, each as its path below the crate's folder and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let folder = root().join(folder);
    let name = |file: &Path| file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    files(&folder).iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}

fn imports_of(folder: &str) -> Imports {
    let mut sources_of = sources(folder);
    if folder.starts_with("benches/") {
        sources_of.extend(sources(SUPPORT).into_iter().map(|(file, text)| (format!("support/{file}"), text)));
    }
    imports::imports(&sources_of)
}

/// Each import of `src` that leads from one top-level module to another: the file and the two modules.
fn imports_across_modules() -> Vec<(String, String, String)> {
    let imports = imports_of("src");
    let pairs = imports.iter().flat_map(|(file, imported)| imported.iter().map(move |imported| (file, imported)));
    let across = pairs.map(|(file, imported)| (format!("src/{file} imports src/{imported}"), top(file), top(imported)));
    let across: Vec<_> = across.filter(|(_, importer, imported)| importer != imported).collect();
    assert!(across.len() > 50, "only {} imports were found", across.len());
    across
}

/// The top-level module of a file of `src`.
fn top(file: &str) -> String {
    file.split(['/', '.']).next().unwrap().to_owned()
}

/// The modules from top to bottom, as the list in `src/lib.rs` has them.
fn order() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let items = text.lines().filter_map(|line| line.strip_prefix("//! - "));
    items.map(|item| item.trim_start_matches('[').split('`').nth(1).unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in CRATES {
        let imports = imports_of(folder);
        assert!(imports.values().any(|imported| !imported.is_empty()), "no imports were found in {folder}");
        let circles = imports::circles(&imports);
        found.extend(circles.iter().map(|circle| format!("{folder}: {} -> {}", circle.join(" -> "), circle[0])));
    }
    assert_none("files that import each other", &found);
}

#[test]
fn every_module_is_in_the_order_of_the_library() {
    let mut modules: Vec<String> =
        sources("src").iter().map(|(file, _)| top(file)).filter(|top| top != "lib").collect();
    modules.sort_unstable();
    modules.dedup();
    let mut order = order();
    order.sort_unstable();
    assert_eq!(order, modules);
}

#[test]
fn no_import_points_up_in_the_order_of_the_library() {
    let order = order();
    let rank = |module: &str| order.iter().position(|listed| listed == module);
    let faults: Vec<String> = imports_across_modules()
        .into_iter()
        .filter(|(_, importer, imported)| importer != "lib" && rank(importer) >= rank(imported))
        .map(|(import, ..)| import)
        .collect();
    assert_none("imports that point up, or to a module that is not listed", &faults);
}

#[test]
fn independent_modules_import_no_other_module() {
    let modules = order();
    let missing = INDEPENDENT.iter().filter(|(module, _)| !modules.iter().any(|listed| listed == module));
    let mut faults: Vec<String> = missing.map(|(module, _)| format!("there is no module {module}")).collect();
    for (import, importer, imported) in imports_across_modules() {
        let pair = (importer.as_str(), imported.as_str());
        let independent = INDEPENDENT.iter().find(|(module, _)| *module == pair.0);
        if independent.is_some_and(|(_, allowed)| !allowed.contains(&pair.1)) || SEPARATE.contains(&pair) {
            faults.push(import);
        }
    }
    assert_none("imports that make a module depend on another", &faults);
}

#[test]
fn independent_modules_name_nothing_that_they_must_not_know() {
    let mut faults = Vec::new();
    for (file, text) in sources("src") {
        let words = UNKNOWN_WORDS.iter().filter(|(module, _)| *module == top(&file));
        faults.extend(
            words.filter(|(_, word)| text.to_lowercase().contains(word)).map(|(_, word)| format!("src/{file}: {word}")),
        );
    }
    assert_none("files that name the program or a client", &faults);
}

#[test]
fn no_source_file_is_longer_than_its_limit() {
    let lengths = sources("src").into_iter().map(|(file, text)| (file, text.lines().count()));
    let faults: Vec<String> = lengths
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(file, lines)| format!("src/{file}: {lines} lines"))
        .collect();
    assert_none("files above 400 lines", &faults);
}

#[test]
fn every_source_file_states_its_purpose_in_the_first_line() {
    let folders = CRATES.iter().chain(&[SUPPORT, "fuzz/fuzz_targets"]);
    let faults: Vec<String> = folders
        .flat_map(|folder| sources(folder).into_iter().map(move |(file, text)| (format!("{folder}/{file}"), text)))
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(file, _)| file)
        .collect();
    assert_none("files without a purpose", &faults);
}
