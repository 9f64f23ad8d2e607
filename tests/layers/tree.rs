//! The source tree as the compiler sees it: modules, the files that hold them, and the names that each one brings in.
//! Built from a directory or, in the tests of the checks themselves, from texts in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::{Attribute, Item, UseTree};

/// A module's path below the crate: `["http", "route"]`.
pub type ModulePath = Vec<String>;

/// A file of the crate, parsed.
pub struct Source {
    /// Relative to `src`.
    pub name: String,
    /// The module that the file is.
    pub module: ModulePath,
    pub text: String,
    pub syntax: syn::File,
    /// Compiled for tests alone: declared below a `#[cfg(test)]`.
    pub is_test: bool,
}

/// What a module offers to a path that enters it.
#[derive(Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    /// A name and the path that it stands for.
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// All files of a crate.
pub struct Tree {
    pub sources: Vec<Source>,
    modules: BTreeMap<ModulePath, Module>,
}

impl Tree {
    /// Everything below `root`, without the programs in `bin`.
    pub fn read(root: &Path) -> Self {
        let mut texts = BTreeMap::new();
        collect(root, root, &mut texts);
        Self::new(texts)
    }

    /// From names relative to `src` and their texts.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    fn new(texts: BTreeMap<String, String>) -> Self {
        let mut tree = Self { sources: Vec::new(), modules: BTreeMap::new() };
        for (name, text) in texts {
            let module = module_of(&name);
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            tree.enter(&module, &name, &syntax.items);
            tree.sources.push(Source { name, module, text, syntax, is_test: false });
        }
        let mut test_modules = BTreeSet::new();
        for source in &tree.sources {
            for item in &source.syntax.items {
                if let Item::Mod(declared) = item
                    && is_test(&declared.attrs)
                {
                    test_modules.insert(child(&source.module, &declared.ident.to_string()));
                }
            }
        }
        for source in &mut tree.sources {
            source.is_test = (0..=source.module.len()).any(|length| test_modules.contains(&source.module[..length]));
        }
        tree
    }

    fn enter(&mut self, path: &ModulePath, file: &str, items: &[Item]) {
        if let Some((name, parent)) = path.split_last() {
            self.modules.entry(parent.to_vec()).or_default().children.insert(name.clone());
        }
        let mut inline = Vec::new();
        let module = self.modules.entry(path.clone()).or_default();
        file.clone_into(&mut module.file);
        for item in items {
            match item {
                Item::Use(item) => module.bring_in(&item.tree, &mut Vec::new()),
                Item::Mod(item) => {
                    if let Some((_, items)) = &item.content {
                        inline.push((child(path, &item.ident.to_string()), items));
                    }
                }
                _ => module.items.extend(name_of(item)),
            }
        }
        for (path, items) in inline {
            self.enter(&path, file, items);
        }
    }

    /// The file that defines what `path`, written in the module `from`, names; `None` for another crate's path.
    /// Imports are followed to the definition: a name taken from a parent that only re-exports it leads to the sibling.
    pub fn resolve(&self, from: &[String], path: &[String]) -> Option<&str> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &[String], path: &[String], depth: usize) -> Option<&str> {
        // A cycle of imports by name does not compile; one of globs may.
        if depth > 16 {
            return None;
        }
        let mut at = from.to_vec();
        let mut rest = path;
        let mut is_absolute = false;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            is_absolute = true;
            rest = tail;
        }
        let mut is_inside = is_absolute;
        while let Some((name, tail)) = rest.split_first() {
            let module = self.modules.get(&at)?;
            if module.children.contains(name) {
                at.push(name.clone());
            } else if module.items.contains(name) {
                return Some(&module.file);
            } else if let Some(target) = module.aliases.get(name).filter(|target| target.as_slice() != rest) {
                return self.follow(&at, &[target, tail].concat(), depth + 1);
            } else {
                let through = module.globs.iter().find_map(|glob| {
                    self.follow(&at, &[glob.as_slice(), rest].concat(), depth + 1).filter(|file| *file != module.file)
                });
                return through.or_else(|| is_inside.then_some(module.file.as_str()));
            }
            is_inside = true;
            rest = tail;
        }
        is_inside.then(|| self.modules.get(&at).map(|module| module.file.as_str())).flatten()
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> &Source {
        self.sources.iter().find(|source| source.name == name).unwrap()
    }
}

impl Module {
    fn bring_in(&mut self, tree: &UseTree, prefix: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.bring_in(&path.tree, prefix);
                prefix.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.bring_in(tree, prefix)),
            UseTree::Glob(_) => self.globs.push(prefix.clone()),
            UseTree::Name(name) if name.ident == "self" => {
                self.aliases.extend(prefix.last().cloned().map(|name| (name, prefix.clone())));
            }
            UseTree::Name(name) => {
                self.aliases.insert(name.ident.to_string(), child(prefix, &name.ident.to_string()));
            }
            UseTree::Rename(rename) => {
                self.aliases.insert(rename.rename.to_string(), child(prefix, &rename.ident.to_string()));
            }
        }
    }
}

/// Whether an item is compiled for tests alone.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().segments.last().is_some_and(|last| last.ident == "test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

fn child(parent: &[String], name: &str) -> ModulePath {
    let mut path = parent.to_vec();
    path.push(name.to_owned());
    path
}

fn module_of(name: &str) -> ModulePath {
    let stem = name.strip_suffix(".rs").unwrap();
    let stem = stem.strip_suffix("/mod").unwrap_or(if stem == "lib" { "" } else { stem });
    stem.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn collect(root: &Path, directory: &Path, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "bin" {
            collect(root, &path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
