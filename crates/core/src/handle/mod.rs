//! What a host holds: the store, a thread, a message being written.

mod changes;
mod consumer;
mod draft;
mod fork;
mod persistence;
mod prune;
mod request;
mod sweep;
mod thread;
mod thread_request;
mod walk;

pub use self::{
    changes::ChangeFeed,
    draft::{Coalesce, Draft, DraftRequest, Watermark},
    fork::Forked,
    persistence::Persistence,
    request::{ReadRequest, ReplyFuture, Request, RequestFuture},
    sweep::Swept,
    thread::Thread,
    thread_request::ThreadRequest,
    walk::Walk,
};
