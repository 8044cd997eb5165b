//! How much of what leaks is found, and how much of ordinary text is taken for a secret.
//!
//! The secrets are made up and put together when the tests run: none is in this repository.
#![cfg(feature = "redact")]
#![allow(clippy::print_stdout, reason = "the tests print their figures and what they skip")]

mod assignments;
mod custom;
mod fields;
mod formats;
mod ordinary;
mod streams;
mod tools;
