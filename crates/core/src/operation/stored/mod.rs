//! What a store keeps beside messages, in the form in which every store keeps it: it is part of a row image, too.

mod counters;
mod names;
mod replay;
mod session_record;
mod thread_facts;

pub use self::{
    counters::{Removed, ThreadCounters},
    names::KnownName,
    replay::{LookUp, Replay},
    session_record::{
        AgentRecord, AttemptRecord, BoundRuntime, Health, KnownSession, Running, SessionAddress, SessionHead,
        SessionValue, Wanted,
    },
    thread_facts::ThreadStats,
};
