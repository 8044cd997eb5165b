//! Tests of change-feed consumers, over memory and SQLite.

mod containment;
mod cursors;
mod jsonl_mirror;
mod open_messages;
mod restart;
mod runners;
mod support;
