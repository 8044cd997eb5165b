//! The built program, as a person and a script use it.

mod backup;
mod closed_output;
mod conformance;
mod damage;
mod find;
mod follow;
mod json;
mod kit;
mod maintain;
mod moving;
mod postgres;
mod read_only;
mod refused_store;
mod server;
mod terminal;
mod token_file;
mod transfer;
mod usage;
