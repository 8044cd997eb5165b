//! The layer `redact`: no secret in the store, in its log or in what is logged, and nothing else changed.

mod checks;
mod corpus;
mod held;
mod images;
mod logged;
mod mutants;
mod narrow;
mod scrub;
mod split;
mod stack;
