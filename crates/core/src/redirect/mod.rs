//! Redirects: another pipeline stores some threads, or some messages, permanently.

mod merge;
mod messages;
mod ownership;
mod threads;

pub use self::{
    messages::{RedirectMessagesLayer, RedirectMessagesService, redirect_messages},
    threads::{RedirectFuture, RedirectLayer, RedirectService, redirect},
};
pub use crate::handle::Upstream;
