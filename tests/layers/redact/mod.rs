//! The layer `redact`: no secret is in the store, in its WAL or in a log, and all other text is unchanged.

mod buffered;
mod caller;
mod checks;
mod corpus;
mod fingerprints;
mod images;
mod logged;
mod mutants;
mod scrub;
mod split;
mod stack;
mod unchanged;
