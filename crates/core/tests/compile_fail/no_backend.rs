//! A pipeline ends with a backend.
use throughline_core::Persistence;

fn main() {
    let _ = Persistence::builder().build();
}
