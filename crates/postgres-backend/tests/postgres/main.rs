//! What is Postgres' own: opening, and what an answer means when a connection is lost.

mod audit;
mod erased;
mod fingerprints;
mod lost;
mod minted;
mod open;
mod outcomes;
mod pooler;
mod search;
mod settings;
mod standby;
mod support;
