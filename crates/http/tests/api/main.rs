//! The API over a real connection, with the memory and the SQLite backend.
//!
//! The client checks every answer against the OpenAPI document of the server: its status, its media type and its JSON.

#[macro_use]
mod support;

mod auth;
mod backpressure;
mod batches;
mod changes;
mod drafts;
mod finds;
mod hostile;
mod lost_answers;
mod messages;
mod openai;
mod openapi;
mod operation;
mod problems;
mod sessions;
mod streams;
mod tenants;
mod threads;
mod tickets;
mod token_file;
mod web_page;
