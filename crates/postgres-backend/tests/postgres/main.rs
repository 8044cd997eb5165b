//! What is Postgres' own: opening, and what an answer means when a connection is lost.

mod lost;
mod open;
mod outcomes;
mod pooler;
mod settings;
mod support;
