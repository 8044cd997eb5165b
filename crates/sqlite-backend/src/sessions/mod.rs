//! The rows of agent sessions, for the rules of the core: read by readers and by the writer, changed by the writer.
//!
//! However many runs there were, a look-up finds one row by an index.

mod rows;
mod whole;

pub(crate) use self::{
    rows::{Rows, damaged},
    whole::{agent, runtime_incarnation},
};
