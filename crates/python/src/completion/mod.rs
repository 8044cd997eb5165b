//! How a finished call reaches its caller.
//!
//! A call of an event loop is polled by the thread of that loop, and by no other. Its first poll hands a write to the store; nothing
//! else has to be scheduled. When the store wakes it, the waker puts the call into the inbox of its loop ([`event_loop`]), and the
//! first one of many wakes the loop through a socket, without the interpreter lock. The loop then completes every call in the inbox
//! at once ([`call`]). Threads of the library therefore never wait for the interpreter, and never touch it while it ends.
//!
//! A blocking call waits on its own thread ([`blocking`]).

mod blocking;
mod call;
mod event_loop;
mod ready;

pub(crate) use self::{
    blocking::block_on,
    call::{OnCancel, start},
    event_loop::{EventLoop, Job, close_loops, forget_loops},
    ready::Ready,
};
