//! The resolver of imports on small made-up trees.

use super::imports::{circles, imports};
use super::lexer::tokens;

/// The imports of a tree, one line a file: `a.rs -> b.rs c.rs`, without the files that import nothing.
fn resolved(tree: &[(&str, &str)]) -> String {
    let sources: Vec<(String, String)> =
        tree.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let imports = imports(&sources).into_iter().filter(|(_, imported)| !imported.is_empty());
    let lines: Vec<String> = imports
        .map(|(file, imported)| format!("{file} -> {}", imported.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    lines.join("\n")
}

/// The imports of `a/b.rs` in a tree where `a` has the children `b`, `c` and `d` beside the modules `e` and `f`.
fn imports_of(text: &str) -> String {
    let tree = [
        ("lib.rs", ""),
        ("a/mod.rs", ""),
        ("a/b.rs", text),
        ("a/c.rs", ""),
        ("a/d.rs", ""),
        ("e.rs", ""),
        ("f.rs", ""),
    ];
    resolved(&tree).trim_start_matches("a/b.rs -> ").to_owned()
}

#[test]
fn each_form_of_a_path_is_resolved_to_the_file_that_defines_it() {
    for (text, expected) in [
        // `use` declarations.
        ("use crate::e::X;", "e.rs"),
        ("use crate::e;", "e.rs"),
        ("use crate::e::*;", "e.rs"),
        ("pub(crate) use crate::e::X as Y;", "e.rs"),
        ("use crate::{e::X, f};", "e.rs f.rs"),
        (
            "use crate::{\n    a::{\n        c::{self, X},\n        d::*,\n    },\n    e::{Y, Z as W},\n};",
            "a/c.rs a/d.rs e.rs",
        ),
        ("use crate::{a::{c, d,},};", "a/c.rs a/d.rs"),
        ("use super::c::X;", "a/c.rs"),
        ("use super::{c, d::Y};", "a/c.rs a/d.rs"),
        ("use super::super::e::X;", "e.rs"),
        ("use self::X;", ""),
        ("fn f() {\n    use crate::e::X;\n}", "e.rs"),
        // Whatever the folder's own file defines or re-exports.
        ("use super::X;", "a/mod.rs"),
        ("use crate::a::X;", "a/mod.rs"),
        ("use super::*;", "a/mod.rs"),
        ("use super::{X, c};", "a/c.rs a/mod.rs"),
        // Paths within the code.
        ("fn f() -> crate::e::X { crate::f::g() }", "e.rs f.rs"),
        ("fn f() { super::c::g::<super::d::Y>() }", "a/c.rs a/d.rs"),
        ("fn f() { assert!(crate::e::X::new().is(), \"{}\", super::c::y()) }", "a/c.rs e.rs"),
        ("impl From<crate::e::X> for Y {}", "e.rs"),
        ("macro_rules! m { () => { $crate::e::f() } }", "e.rs"),
        ("use crate::a;\nfn f() { a::c::g() }", "a/c.rs a/mod.rs"),
        ("use crate::a::{self, X};\nfn f() { a::c::g() }", "a/c.rs a/mod.rs"),
        ("use crate::a as x;\nfn f() { x::d::g() }", "a/d.rs a/mod.rs"),
        // Inline modules.
        ("mod tests {\n    use super::*;\n    use super::super::c::X;\n}", "a/c.rs"),
        ("mod tests { mod inner { use super::super::super::d; } }\nuse super::c;", "a/c.rs a/d.rs"),
        ("mod tests { fn f() {} }\nuse super::c;", "a/c.rs"),
        // What is no import.
        ("mod c;\npub mod d;", ""),
        ("pub(in crate::e) struct X;", ""),
        ("pub(crate) fn f() {}", ""),
        ("use std::fmt;\nuse postgres::{Client, NoTls};", ""),
        ("use ::e::X;\nfn f() -> ::f::Y { ::e::g() }", ""),
        ("fn f() { e::g(); X::crate_name() }", ""),
        ("fn f(x: impl Fn() + use<'_>) {}", ""),
        // Comments and literals.
        ("//! See [`crate::e`].\n/* crate::e::X /* crate::f::X */ crate::e::X */ // super::c::X", ""),
        ("const S: &str = \"crate::e::X \\\" crate::f::X\";", ""),
        ("const S: &str = r#\"crate::e::X \" crate::f::X\"#;\nuse super::c;", "a/c.rs"),
        ("const C: char = '\\\"';\nuse super::c;", "a/c.rs"),
        ("const C: [char; 3] = ['\"', '\\'', '\\u{22}'];\nfn f<'a>(x: &'a crate::e::X) {}", "e.rs"),
    ] {
        assert_eq!(imports_of(text), expected, "{text}");
    }
}

#[test]
fn a_folders_own_file_imports_what_it_re_exports_and_not_what_it_declares() {
    let tree = [
        ("lib.rs", "pub mod a;\npub mod e;"),
        ("a/mod.rs", "mod c;\nmod d;\npub use c::X;\npub use self::d::Y;"),
        ("a/c.rs", ""),
        ("a/d.rs", "use crate::e;"),
        ("e.rs", ""),
    ];
    assert_eq!(resolved(&tree), "a/d.rs -> e.rs\na/mod.rs -> a/c.rs a/d.rs");
    let tree = [("lib.rs", ""), ("a/mod.rs", "use ::c::X;\nfn f() { ::d::g() }"), ("a/c.rs", ""), ("a/d.rs", "")];
    assert_eq!(resolved(&tree), "", "crates of the same names");
}

#[test]
fn a_file_beside_a_folder_of_its_name_is_the_root_of_that_folder() {
    let tree = [("main.rs", ""), ("a.rs", "mod b;\nuse b::X;"), ("a/b.rs", "use super::Y;")];
    assert_eq!(resolved(&tree), "a.rs -> a/b.rs\na/b.rs -> a.rs");
}

#[test]
fn the_binary_imports_the_library_beside_it() {
    let tree = [("lib.rs", "pub mod a;"), ("main.rs", "use safespace::{Y, a::X};"), ("a.rs", "use crate::Y;")];
    assert_eq!(resolved(&tree), "a.rs -> lib.rs\nmain.rs -> a.rs lib.rs");
    let tree = [("main.rs", "use safespace::a::X;\nmod a;"), ("a.rs", "use crate::f;"), ("b.rs", "use super::a;")];
    assert_eq!(resolved(&tree), "a.rs -> main.rs\nb.rs -> a.rs", "without one, it is another crate");
}

#[test]
fn every_circle_is_found_and_named() {
    for (what, tree, expected) in [
        ("none", vec![("a.rs", "use crate::b;\nuse crate::c;"), ("b.rs", "use crate::c;"), ("c.rs", "")], vec![]),
        ("a file that uses itself", vec![("a.rs", "use crate::a::X;\nmod tests { use super::*; }")], vec![]),
        ("two files", vec![("a.rs", "use crate::b;"), ("b.rs", "fn f() { super::a::g() }")], vec!["a.rs b.rs"]),
        (
            "three files and one that only leads to them",
            vec![
                ("a.rs", "use crate::b;"),
                ("b.rs", "use crate::c;"),
                ("c.rs", "use crate::d;"),
                ("d.rs", "use crate::b;"),
            ],
            vec!["b.rs c.rs d.rs"],
        ),
        (
            "a file and what its folder re-exports from a sibling that uses the file",
            vec![("a/mod.rs", "pub use b::X;"), ("a/b.rs", "use super::c;"), ("a/c.rs", "use super::X;")],
            vec!["a/b.rs a/c.rs a/mod.rs"],
        ),
        (
            "a file and what its folder re-exports from itself",
            vec![("a/mod.rs", "pub use b::X;"), ("a/b.rs", "use super::X as Y;")],
            vec!["a/b.rs a/mod.rs"],
        ),
        (
            "two circles",
            vec![
                ("a.rs", "use crate::b;"),
                ("b.rs", "use crate::{a, c};"),
                ("c.rs", "use crate::d;"),
                ("d.rs", "use crate::c;"),
            ],
            vec!["a.rs b.rs", "c.rs d.rs"],
        ),
    ] {
        let sources: Vec<(String, String)> =
            [("lib.rs", "")].iter().chain(&tree).map(|(file, text)| ((*file).into(), (*text).into())).collect();
        let found: Vec<String> = circles(&imports(&sources)).iter().map(|circle| circle.join(" ")).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn tokens_are_names_and_punctuation_without_comments_and_literals() {
    let source = "a::b<'c>(\"x\", 'y', br##\"\"#\"##, r#type) // z";
    assert_eq!(tokens(source).join(" "), "a :: b < c > ( , , , r # type )");
}
