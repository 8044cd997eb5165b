//! A foreign layer has to be given a name and a phase.
use throughline_core::{Backend, Persistence};
use tower::layer::util::Identity;

fn build(backend: impl Backend) {
    let _ = Persistence::builder().layer(Identity::new()).backend(backend).build();
}

fn main() {}
