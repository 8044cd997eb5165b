//! A ticket has no public constructor and private fields.
use throughline_core::{Admitted, Backend, Context, NewMessage, messages::Add};

fn literal(op: Add, context: Context, backend: &impl Backend) {
    let ticket = Admitted { op, context };
    drop(backend.add(ticket));
}

fn constructor(context: Context, backend: &impl Backend) {
    let add = Add::new("t".parse().unwrap(), NewMessage::user("x"));
    drop(backend.add(Admitted::new(add, context)));
}

fn main() {}
