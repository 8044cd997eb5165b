//! Tests of agent runs: the runner under every mistake that a host can make.

mod binding;
mod ends;
mod faults;
mod lease;
mod moves;
mod queue;
mod stopped;
mod support;
