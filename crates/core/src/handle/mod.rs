//! The handles of a host: the pipeline, a thread, an agent, and the draft of a message.

mod args_request;
mod builder;
mod changes;
mod consumer;
mod draft;
mod family_request;
mod fork;
mod history;
mod persistence;
mod prune;
mod recovery;
mod replica;
mod request;
mod session;
mod stream;
mod thread;
mod turn;
mod upstream;
mod walk;

pub use self::{
    args_request::{ArgsRequest, ArgsRequestFuture},
    builder::{Builder, NoBackend, Probe},
    changes::ChangeFeed,
    draft::{Coalesce, Draft, DraftRequest, ReplyAttempt, ReplyAttemptRequest, Watermark},
    family_request::{
        ConsumerRequest, FamilyRequest, ReadRequest, ReplicaRequest, SessionRequest, ThreadRequest,
    },
    fork::Forked,
    history::{BlockAt, History, Recalled, ToolCall},
    persistence::Persistence,
    recovery::RecoveredDrafts,
    request::{ReplyFuture, Request, RequestFuture},
    session::{Agent, AgentThread},
    stream::{
        AppendedContent, DeletedMessage, EndedMessage, InvalidStreamCursor, StreamCursor, StreamEvent,
        ThreadEvent, ThreadStream,
    },
    thread::Thread,
    turn::{NewTurn, Turn, TurnRequest},
    upstream::Upstream,
    walk::Walk,
};
