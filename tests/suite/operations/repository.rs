//! Rules about the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from top to bottom; each may use only those after it. The same order as in `src/lib.rs`.
const ORDER: [&str; 15] = [
    "main",
    "check",
    "app",
    "exporter",
    "api",
    "turns",
    "companion",
    "store",
    "metrics",
    "logging",
    "config",
    "http",
    "conversation",
    "sealing",
    "session_id",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn rank(module: &str) -> usize {
    ORDER.iter().position(|name| *name == module).unwrap_or_else(|| panic!("{module} has no place in the order"))
}

#[test]
fn no_import_points_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in sources(&root) {
        let inside = file.strip_prefix(&root).unwrap().with_extension("");
        let module = inside.iter().next().unwrap().to_str().unwrap().to_owned();
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let Some(path) =
                line.trim().strip_prefix("use crate::").or_else(|| line.trim().strip_prefix("use safespace::"))
            else {
                continue;
            };
            let used = path.split([':', ';', ' ']).next().unwrap();
            seen += 1;
            assert!(used == module || rank(&module) < rank(used), "{}: {line}", file.display());
        }
    }
    assert!(seen > 20, "only {seen} imports were found");
}

#[test]
fn the_library_lists_its_modules_in_that_order() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let places: Vec<usize> = ORDER
        .iter()
        .map(|module| {
            text.find(&format!("//! - [`{module}`]")).or_else(|| text.find(&format!("//! - `{module}`"))).unwrap()
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_source_file_says_in_its_first_line_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["src", "tests", "benches", "fuzz/fuzz_targets"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}
