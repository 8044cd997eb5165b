//! What is Postgres' own: opening, and what an answer means when a connection is lost.

mod erased;
mod minted;
mod open;
mod outcomes;
mod search;
mod settings;
mod support;
