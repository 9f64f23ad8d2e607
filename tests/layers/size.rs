//! How long files and functions are, and which files lack module documentation.

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, ItemMod, Signature, TraitItemFn};

use crate::tree::{Source, Tree, is_test};

const MAX_FILE_LINES: usize = 350;
const MAX_FUNCTION_LINES: usize = 60;

/// Files over the limit.
pub fn long_files(tree: &Tree) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let long = tree.sources.iter().filter(|source| lines(source) > MAX_FILE_LINES);
    long.map(|source| format!("{}: {} lines, at most {MAX_FILE_LINES}", source.name, lines(source))).collect()
}

/// Files that do not begin by saying what they own.
pub fn undocumented_files(tree: &Tree) -> Vec<String> {
    let silent = tree.sources.iter().filter(|source| !source.is_test && !source.text.starts_with("//!"));
    silent.map(|source| format!("{}: no //! at its top", source.name)).collect()
}

/// Functions over the limit, from `fn` to the closing brace; tests may be longer.
pub fn long_functions(tree: &Tree) -> Vec<String> {
    let mut long = Vec::new();
    for source in tree.sources.iter().filter(|source| !source.is_test) {
        let mut functions = Functions { file: &source.name, long: &mut long };
        functions.visit_file(&source.syntax);
    }
    long
}

struct Functions<'a> {
    file: &'a str,
    long: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &Signature, block: &Block) {
        let first = line(signature.fn_token.span);
        let lines = line(block.brace_token.span.close()) - first + 1;
        if lines > MAX_FUNCTION_LINES {
            let (file, name) = (self.file, &signature.ident);
            self.long.push(format!("{file}:{first}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"));
        }
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.measure(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            self.measure(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}
