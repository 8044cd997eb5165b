//! The records that stores keep in addition to messages. All stores use this form, and row images contain it.

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
