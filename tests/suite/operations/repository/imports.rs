//! Resolves the paths in a crate's source to the files that define them, and finds circles among these imports.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::lexer::tokens;

/// For each file the files that it imports. A file is named by its path below the folder of the crate's root.
pub(super) type Imports = BTreeMap<String, BTreeSet<String>>;

/// The segments that lead from the crate's root to a module.
type Module = Vec<String>;

/// The name by which `main.rs` uses the library beside it.
const LIBRARY: &str = "safespace";

/// Reads the imports of a crate's files, given as pairs of name and text.
///
/// A path counts as an import of the deepest module file that it leads into: `crate::a::b::C` of `a/b.rs` where there is
/// such a file, else of `a/mod.rs`, whose own `pub use` lines are its imports. `mod` declarations, visibilities and paths
/// into other crates do not count, nor does a path of a file into itself.
pub(super) fn imports(sources: &[(String, String)]) -> Imports {
    let has_library = sources.iter().any(|(file, _)| file == "lib.rs");
    let files: HashMap<Module, &str> =
        sources.iter().map(|(file, _)| (module_of(file, has_library), file.as_str())).collect();
    sources
        .iter()
        .map(|(file, text)| {
            let paths = Paths::read(module_of(file, has_library), &tokens(text));
            (file.clone(), Resolver { files: &files, has_library }.imports(file, &paths))
        })
        .collect()
}

/// The module that a file is. Beside a library, `main.rs` is taken for a module of its own.
fn module_of(file: &str, has_library: bool) -> Module {
    let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let is_root = matches!(file, "lib.rs" | "main.rs") && !(has_library && file == "main.rs");
    if is_root || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// A path in the source, and the module in which it stands.
struct Path {
    module: Module,
    segments: Vec<String>,
    /// The name that a `use` declaration binds.
    alias: Option<String>,
}

/// Gathers the paths of one file.
struct Paths<'a> {
    tokens: &'a [String],
    at: usize,
    found: Vec<Path>,
}

impl Paths<'_> {
    fn read(file: Module, tokens: &[String]) -> Vec<Path> {
        let mut paths = Paths { tokens, at: 0, found: Vec::new() };
        // Inline modules, each with the depth of braces outside it.
        let (mut module, mut inline, mut depth) = (file, Vec::new(), 0);
        while let Some(token) = paths.token(0) {
            match (token, paths.token(1), paths.token(2)) {
                ("pub", Some("("), Some("in")) => paths.skip_to(")"),
                ("use", ..) => {
                    paths.at += 1;
                    paths.use_tree(&module, &[]);
                }
                ("mod", Some(name), Some("{")) => {
                    module.push(name.to_owned());
                    inline.push(depth);
                    (depth, paths.at) = (depth + 1, paths.at + 3);
                }
                ("{", ..) => (depth, paths.at) = (depth + 1, paths.at + 1),
                ("}", ..) => {
                    (depth, paths.at) = (depth - 1, paths.at + 1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                }
                // What follows a leading `::` belongs to another crate or to a path that is no module's.
                ("::", Some(next), _) if is_name(next) => paths.at += 2,
                (name, Some("::"), _) if is_name(name) => paths.inline_path(&module),
                _ => paths.at += 1,
            }
        }
        paths.found
    }

    fn token(&self, ahead: usize) -> Option<&str> {
        self.tokens.get(self.at + ahead).map(String::as_str)
    }

    fn skip_to(&mut self, end: &str) {
        while self.token(0).is_some_and(|token| token != end) {
            self.at += 1;
        }
    }

    fn inline_path(&mut self, module: &Module) {
        let mut segments = vec![self.tokens[self.at].clone()];
        self.at += 1;
        while self.token(0) == Some("::") && self.token(1).is_some_and(is_name) {
            segments.push(self.tokens[self.at + 1].clone());
            self.at += 2;
        }
        self.found.push(Path { module: module.clone(), segments, alias: None });
    }

    /// Reads a tree of a `use` declaration, each leaf as a path of its own.
    fn use_tree(&mut self, module: &Module, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        loop {
            match (self.token(0), self.token(1)) {
                (Some("{"), _) => {
                    self.at += 1;
                    while self.token(0).is_some_and(|token| token != "}") {
                        self.use_tree(module, &segments);
                        self.at += usize::from(self.token(0) == Some(","));
                    }
                    self.at += 1;
                    return;
                }
                (Some("*"), _) => {
                    self.at += 1;
                    self.found.push(Path { module: module.clone(), segments, alias: None });
                    return;
                }
                (Some("::"), _) => {
                    // An empty first segment is another crate's.
                    segments.push(String::new());
                    self.at += 1;
                }
                (Some(segment), Some("::")) => {
                    segments.push(segment.to_owned());
                    self.at += 2;
                }
                (Some(segment), next) => {
                    if segment != "self" {
                        segments.push(segment.to_owned());
                    }
                    let renamed = next == Some("as");
                    let alias = if renamed { self.token(2) } else { segments.last().map(String::as_str) };
                    let path = Path { module: module.clone(), alias: alias.map(str::to_owned), segments };
                    self.at += if renamed { 3 } else { 1 };
                    self.found.push(path);
                    return;
                }
                (None, _) => return,
            }
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|character: char| character.is_alphabetic() || character == '_')
}

struct Resolver<'a> {
    files: &'a HashMap<Module, &'a str>,
    has_library: bool,
}

impl Resolver<'_> {
    fn imports(&self, file: &str, paths: &[Path]) -> BTreeSet<String> {
        let mut aliases = HashMap::new();
        for path in paths {
            if let (Some(alias), Some((module, []))) = (&path.alias, self.resolve(path, &HashMap::new())) {
                aliases.insert(alias.as_str(), module);
            }
        }
        let modules = paths.iter().filter_map(|path| self.resolve(path, &aliases));
        let imported = modules.map(|(module, _)| self.file_of(&module).to_owned());
        imported.filter(|imported| imported != file).collect()
    }

    /// Returns the deepest module that a path leads into, and the segments behind it; none for another crate's.
    fn resolve<'p>(&self, path: &'p Path, aliases: &HashMap<&str, Module>) -> Option<(Module, &'p [String])> {
        let (first, mut rest) = path.segments.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            LIBRARY if self.has_library => Vec::new(),
            "self" => path.module.clone(),
            "super" => parent(&path.module),
            name => match aliases.get(name) {
                Some(module) => module.clone(),
                None => self.child(&path.module, name)?,
            },
        };
        while let Some((next, behind)) = rest.split_first() {
            module = match self.child(&module, next) {
                Some(child) => child,
                None if next == "super" => parent(&module),
                None => break,
            };
            rest = behind;
        }
        Some((module, rest))
    }

    fn child(&self, module: &Module, name: &str) -> Option<Module> {
        let child: Module = module.iter().map(String::as_str).chain([name]).map(str::to_owned).collect();
        self.files.contains_key(&child).then_some(child)
    }

    /// The file of a module, which for an inline one is that around it.
    fn file_of(&self, module: &[String]) -> &str {
        let depths = (0..=module.len()).rev();
        depths.filter_map(|depth| self.files.get(&module[..depth])).next().expect("the crate has a root")
    }
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

/// Returns the shortest circle through each file that is in one; each begins with the first of its files by name.
pub(super) fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    imports.keys().filter_map(|file| shortest_circle(imports, file)).collect()
}

/// Searches breadth first from a file for a way back to it.
fn shortest_circle(imports: &Imports, start: &String) -> Option<Vec<String>> {
    let mut importer_of: HashMap<&String, &String> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for imported in &imports[file] {
            if imported == start {
                let back = std::iter::successors(Some(file), |file| importer_of.get(file).copied());
                let mut circle: Vec<String> = back.cloned().collect();
                circle.reverse();
                let first = (0..circle.len()).min_by_key(|at| &circle[*at])?;
                circle.rotate_left(first);
                return Some(circle);
            }
            if !importer_of.contains_key(imported) {
                importer_of.insert(imported, file);
                queue.push_back(imported);
            }
        }
    }
    None
}
