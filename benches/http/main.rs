//! Measures the HTTP interface on the loopback interface: adds against the same adds in process, the fan-out of a reply to many
//! readers, and adds next to idle streams.
//!
//! Client and server share the process and its processors. The contenders of a ratio use one store, in alternating rounds.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. Run it with
//! `cargo bench -p throughline-benches --bench http [-- [--rounds N] [--readers N] [--idle N] [--only NAME]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod adds;
#[path = "../kit/arguments.rs"]
mod arguments;
mod connection;
mod fanout;
#[path = "../kit/figures.rs"]
mod figures;
mod host;
mod idle;
#[path = "../kit/stack.rs"]
mod stack;
mod stream_reader;
#[path = "../kit/tasks.rs"]
mod tasks;
#[path = "../kit/text.rs"]
mod text;

use std::error::Error;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "readers", "idle", "only"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(10);
    let readers = arguments::given("readers")?.unwrap_or(1000);
    let idle = arguments::given("idle")?.unwrap_or(5000);
    let only = arguments::one_of("only", &["adds", "fanout", "idle"])?;
    let is_wanted = |name| only.as_deref().is_none_or(|only| only == name);
    if is_wanted("adds") {
        adds::compare(rounds).await?;
    }
    if is_wanted("fanout") {
        fanout::measure(readers).await?;
    }
    if is_wanted("idle") {
        idle::compare(rounds, idle).await?;
    }
    Ok(())
}
