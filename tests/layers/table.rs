//! The table of layers at the top of `src/lib.rs`: the only description of them, for people and for these checks.

/// The modules of each layer, from the top to the bottom.
pub struct Layers(Vec<Vec<String>>);

impl Layers {
    /// From the module documentation of the crate. A row without a layer's name belongs to the layer above it.
    pub fn read(text: &str) -> Self {
        let mut layers: Vec<Vec<String>> = Vec::new();
        for line in text.lines() {
            let Some(row) = line.strip_prefix("//! |") else { continue };
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let [layer, modules, ..] = cells[..] else { continue };
            let modules: Vec<_> = modules.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            if modules.is_empty() {
                continue;
            }
            match layers.last_mut() {
                Some(last) if layer.is_empty() => last.extend(modules),
                _ => layers.push(modules),
            }
        }
        Self(layers)
    }

    /// How many layers lie above the module's own.
    pub fn depth(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|layer| layer.iter().any(|name| name == module))
    }

    /// All modules, from the top to the bottom.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}
