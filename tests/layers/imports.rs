//! Which file imports which: every path of a file that begins at the crate, a parent or the module itself, resolved to
//! the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ImplItemFn, Item, ItemFn, ItemMod, ItemUse, Macro, UseTree};

use crate::tree::{ModulePath, Source, Tree, is_test};

/// From each file to those that it imports.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Whether imports of tests count: they do for layers, but not for cycles, because a test may use anything of its own
/// layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    WithTests,
    WithoutTests,
}

/// The imports between the files of a tree.
pub fn between_files(tree: &Tree, scope: Scope) -> Graph {
    let mut graph = Graph::new();
    for source in &tree.sources {
        if scope == Scope::WithoutTests && source.is_test {
            continue;
        }
        let mut found = BTreeSet::new();
        for (module, path) in paths(source, scope) {
            if let Some(file) = tree.resolve(&module, &path)
                && file != source.name
                && (scope == Scope::WithTests || !tree.source(file).is_test)
            {
                found.insert(file.to_owned());
            }
        }
        graph.insert(source.name.clone(), found);
    }
    graph
}

/// The imports between the modules directly below the crate.
pub fn between_modules(tree: &Tree, scope: Scope) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut graph: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (file, imports) in between_files(tree, scope) {
        let Some(module) = tree.source(&file).module.first() else { continue };
        let found = graph.entry(module.clone()).or_default();
        for import in imports {
            if let Some(other) = tree.source(&import).module.first()
                && other != module
            {
                found.entry(other.clone()).or_insert_with(|| file.clone());
            }
        }
    }
    graph
}

/// The groups of files, or modules, with an import cycle.
pub fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|start| (start, reachable(graph, start))).collect();
    let mut found = BTreeSet::new();
    for (start, to) in &reach {
        if to.contains(start) {
            let group = to.iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(start)));
            found.insert(group.map(|name| (*name).clone()).collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(graph: &'a Graph, start: &String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        for next in graph.get(name).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

fn paths(source: &Source, scope: Scope) -> Vec<(ModulePath, Vec<String>)> {
    let mut collector = Collector { module: source.module.clone(), scope, found: Vec::new() };
    collector.visit_file(&source.syntax);
    collector.found
}

struct Collector {
    module: ModulePath,
    scope: Scope,
    found: Vec<(ModulePath, Vec<String>)>,
}

impl Collector {
    fn add(&mut self, path: &[String]) {
        if path.first().is_some_and(|first| ["crate", "super", "self"].contains(&first.as_str())) && path.len() > 1 {
            self.found.push((self.module.clone(), path.to_vec()));
        }
    }

    fn add_use(&mut self, tree: &UseTree, prefix: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_use(&path.tree, prefix);
                prefix.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, prefix)),
            UseTree::Name(name) if name.ident != "self" => {
                self.add(&[prefix.as_slice(), &[name.ident.to_string()]].concat())
            }
            UseTree::Rename(rename) => self.add(&[prefix.as_slice(), &[rename.ident.to_string()]].concat()),
            _ => self.add(prefix),
        }
    }

    /// A macro's arguments are only tokens, in which paths are searched for.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add(&path);
    }

    fn skips(&self, attributes: &[syn::Attribute]) -> bool {
        self.scope == Scope::WithoutTests && is_test(attributes)
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !self.skips(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if self.skips(&item.attrs) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !self.skips(&item.attrs) {
            self.add_use(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !self.skips(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !self.skips(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.add_tokens(item.tokens.clone());
    }
}
