//! Only the pipeline constructs an admitted call: it has no public constructor, and its fields are private.
use throughline_core::{Admitted, Backend, Context, NewMessage, messages::Add};

fn literal(op: Add, context: Context, backend: &impl Backend) {
    let admitted = Admitted { op, context };
    drop(backend.add(admitted));
}

fn constructor(context: Context, backend: &impl Backend) {
    let add = Add::new("t".parse().unwrap(), NewMessage::user("x"));
    drop(backend.add(Admitted::new(add, context)));
}

fn main() {}
