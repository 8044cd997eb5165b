//! A plugin is added with `.plugin(…)`.
use throughline_core::{Backend, Persistence, Plugin};

struct Passes;

impl Plugin for Passes {
    fn name(&self) -> &str {
        "passes"
    }
}

fn build(backend: impl Backend) {
    let _ = Persistence::builder().layer(Passes).backend(backend).build();
}

fn main() {}
