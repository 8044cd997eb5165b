//! A server on the loopback interface, a plain client, and a check of each answer.

mod client;
mod events;
mod host;
mod schema;

pub(crate) use self::{
    client::{Answer, Client},
    events::{Event, Events},
    host::{Host, indexed, tokens},
};

/// Runs each test on each store: `memory::name` and `sqlite::name`.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::Host::memory().await).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::Host::sqlite().await).await;
            })+
        }
    };
}
