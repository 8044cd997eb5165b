//! What a store keeps beside messages, in the form in which every store keeps it: it is part of a row image, too.

mod names;
mod replay;
mod session_record;
mod tally;
mod thread_facts;

pub use self::{
    names::KnownName,
    replay::{LookUp, Replay},
    session_record::{
        AgentRecord, AttemptRecord, BoundRuntime, Health, KnownSession, Running, SessionHead, SessionPlace,
        SessionValue, Wanted,
    },
    tally::{Removed, Tally},
    thread_facts::ThreadFacts,
};
