//! Consumers of the changes, over both stores.

mod containment;
mod cursors;
mod mirror;
mod open_rows;
mod restart;
mod runners;
mod support;
