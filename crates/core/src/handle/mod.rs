//! What a host holds: the store, a thread, a message being written.

mod draft;
mod persistence;
mod request;
mod sweep;
mod thread;
mod walk;

pub use self::{
    draft::{Coalesce, Draft, DraftRequest, Watermark},
    persistence::Persistence,
    request::{ReadRequest, ReplyFuture, Request, RequestFuture},
    sweep::Swept,
    thread::Thread,
    walk::Walk,
};
