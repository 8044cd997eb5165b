//! What a host holds: the store, a thread, a message being written.

mod changes;
mod consumer;
mod draft;
mod fork;
mod history;
mod persistence;
mod prune;
mod request;
mod sweep;
mod thread;
mod thread_request;
mod turn;
mod walk;

pub use self::{
    changes::ChangeFeed,
    draft::{Coalesce, Draft, DraftRequest, Watermark},
    fork::Forked,
    history::{BlockAt, History, Recalled, ToolCall},
    persistence::Persistence,
    request::{ReadRequest, ReplyFuture, Request, RequestFuture},
    sweep::Swept,
    thread::Thread,
    thread_request::ThreadRequest,
    turn::{NewTurn, Turn, TurnRequest},
    walk::Walk,
};
