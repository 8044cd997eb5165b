//! Tests imports from legacy files and chat folders, and exports, with real stores.
#![allow(missing_docs, reason = "tests")]

mod bounds;
mod chat_lines;
mod export;
mod faults;
mod hostile;
mod legacy;
mod legacy_rows;
mod names;
mod round_trip;
mod support;
