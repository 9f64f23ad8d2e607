//! The rules of the layers: each returns one line for each violation, so that none means that the rule holds.

use std::collections::BTreeSet;

use crate::imports::{Graph, Scope, between_files, between_modules, cycles};
use crate::table::Layers;
use crate::tree::Tree;

/// Modules that the table does not name, and rows without a module.
pub fn strangers(tree: &Tree, layers: &Layers) -> Vec<String> {
    let modules: BTreeSet<_> = tree.sources.iter().filter_map(|source| source.module.first()).collect();
    let unnamed = modules.iter().filter(|module| layers.depth(module).is_none());
    let unnamed = unnamed.map(|module| format!("{module}: in no layer of the table in src/lib.rs"));
    let missing = layers.modules().filter(|name| !modules.iter().any(|module| module == name));
    unnamed.chain(missing.map(|name| format!("{name}: in the table of src/lib.rs, but no module"))).collect()
}

/// Imports of a module in a higher layer.
pub fn upward_imports(tree: &Tree, layers: &Layers) -> Vec<String> {
    let mut found = Vec::new();
    for (module, imports) in between_modules(tree, Scope::WithTests) {
        let Some(own) = layers.depth(&module) else { continue };
        for (import, file) in imports {
            if layers.depth(&import).is_some_and(|other| other < own) {
                found.push(format!("{file}: {module} imports {import}, which lies above it"));
            }
        }
    }
    found
}

/// Modules of one layer that import each other.
pub fn module_cycles(tree: &Tree) -> Vec<String> {
    let modules = between_modules(tree, Scope::WithTests);
    let graph = modules.into_iter().map(|(module, imports)| (module, imports.into_keys().collect())).collect();
    told(&graph)
}

/// Files that import each other.
pub fn file_cycles(tree: &Tree) -> Vec<String> {
    told(&between_files(tree, Scope::WithoutTests))
}

fn told(graph: &Graph) -> Vec<String> {
    let told = |group: Vec<String>| {
        let imports = group.iter().flat_map(|from| {
            let inside = graph[from].iter().filter(|to| group.contains(to));
            inside.map(move |to| format!("\n    {from} imports {to}"))
        });
        format!("an import cycle:{}", imports.collect::<String>())
    };
    cycles(graph).into_iter().map(told).collect()
}
