//! What a host holds: the store, a thread, a message being written.

mod changes;
mod consumer;
mod draft;
mod family_request;
mod fork;
mod history;
mod persistence;
mod prune;
mod replica;
mod request;
mod session;
mod sweep;
mod thread;
mod turn;
mod walk;

pub(crate) use self::draft::LiveDrafts;
pub use self::{
    changes::ChangeFeed,
    draft::{Coalesce, Draft, DraftRequest, ReplyAttempt, ReplyAttemptRequest, Watermark},
    family_request::{
        ConsumerRequest, FamilyRequest, ReadRequest, ReplicaRequest, SessionRequest, ThreadRequest,
    },
    fork::Forked,
    history::{BlockAt, History, Recalled, ToolCall},
    persistence::Persistence,
    request::{ReplyFuture, Request, RequestFuture},
    session::{Agent, AgentThread},
    sweep::Swept,
    thread::Thread,
    turn::{NewTurn, Turn, TurnRequest},
    walk::Walk,
};
