//! How a finished call reaches its caller.
//!
//! A call of an event loop is polled by the thread of that loop, and by no other. Its first poll hands a write to the store; nothing
//! else has to be scheduled. When the store wakes it, the waker puts the call into the inbox of its loop ([`event_loop`]), and the
//! first one of many wakes the loop through a socket, without the interpreter lock. The loop then completes every call in the inbox
//! at once ([`call`]). Threads of the library therefore never wait for the interpreter, and never touch it while it ends.
//!
//! A read that is the only call of its loop is waited for in a short spin first ([`adaptive_spin`]): an answer that comes within it needs
//! no wake-up and no turn of the loop.
//!
//! A blocking call waits on its own thread ([`blocking`]).

mod adaptive_spin;
mod blocking;
mod call;
mod event_loop;
mod ready;

pub(crate) use self::{
    blocking::block_on,
    call::{OnCancel, start, start_quick},
    event_loop::{EventLoop, Job, close_loops, forget_loops},
    ready::Ready,
};
