//! Redirects: another pipeline keeps some of the threads, or some of the messages, for life.

mod merge;
mod messages;
mod ownership;
mod threads;

pub use self::{
    messages::{RedirectMessagesLayer, RedirectMessagesService, redirect_messages},
    threads::{RedirectFuture, RedirectLayer, RedirectService, redirect},
};
pub use crate::handle::Upstream;
