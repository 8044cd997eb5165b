//! A backend is given to one pipeline for good.
use throughline_core::{Backend, Persistence};

fn build(backend: impl Backend) {
    let _ = Persistence::builder().backend(backend).build();
    let _ = Persistence::builder().backend(backend).build();
}

fn main() {}
