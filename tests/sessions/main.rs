//! Runs of agents: what a runner does about each mistake that a host could make.

mod binding;
mod ends;
mod faults;
mod lease;
mod left;
mod lines;
mod moves;
mod support;
