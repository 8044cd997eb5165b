//! Plugins: the simpler form of a layer, with async hooks over typed calls and answers.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use throughline_core::{
//!     Call, NewMessage, Next, Operation, Persistence, Phase, Plugin, Reply, Result,
//!     messages::Add,
//! };
//!
//! /// Counts every operation, and trims the text of what is added.
//! struct Counter(Arc<AtomicU64>);
//!
//! impl Plugin for Counter {
//!     fn name(&self) -> &str {
//!         "counter"
//!     }
//!
//!     fn phase(&self) -> Phase {
//!         Phase::Observe
//!     }
//!
//!     async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
//!         self.0.fetch_add(1, Ordering::Relaxed);
//!         next.run(call).await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let seen = Arc::new(AtomicU64::new(0));
//! let db = Persistence::builder().plugin(Counter(seen.clone())).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(seen.load(Ordering::Relaxed), 1);
//! # Ok(())
//! # }
//! ```
//! The default of each hook calls [`around`](Plugin::around). The default of `around` calls the next layer. A guard or a redirect
//! should override `around` first, so that it covers every operation.
//!
//! Plugins that are added one after the other with [`Builder::plugin`](crate::Builder::plugin) share one allocation for each call.
//! For plugins that the host chooses at run time, add a [`PluginLayer`] of each to a
//! [`LayerList`](crate::pipeline::LayerList).
//!
//! For smaller cases there are [`from_fn`], [`observe`], [`respond`] and [`redirect`](crate::redirect).

mod chain;
mod from_fn;
mod hook;
mod layer;
mod next;
mod observe;
mod respond;
mod rest;
mod service;

use std::future::Future;

pub use self::{
    chain::{PluginChain, PluginChainService, TakesPlugin},
    from_fn::{AsyncRequestFn, FromFn, FromFnService, NextRequest, from_fn},
    layer::PluginLayer,
    next::{Next, NextFuture},
    observe::{Event, Observe, ObserveFuture, ObserveLayer, ObserveService, ObserverStats, Outcome, observe},
    respond::{Respond, respond},
    service::PluginService,
};
use crate::{
    Call, Operation, Phase, ReadArgs, Reply, Result,
    operation::{
        Add, Batch, ConsumerArgs, Delete, Import, ReplicaArgs, Reserve, SessionArgs, ThreadArgs, Update,
        UpdateContent,
    },
};

/// A layer in the form of async hooks, one for each kind of operation.
///
/// A hook receives the call by value, and the rest of the stack as `next`, which it can run at most once. Its return value is the
/// answer. The type of the answer belongs to the operation, so that the answer of another operation does not compile. A hook that
/// does not run `next` short-circuits the call.
///
/// # Cancel safety
/// If the caller drops the call before a backend receives it, the pipeline drops the hook at its current `.await`. After a
/// backend has received the call, the hook runs to its end in a task of the pipeline.
///
/// # Failure
/// An error, a panic or a hang of a hook fails the call. The error names this plugin, and its effect is the one known at that
/// moment: `NotApplied` before `next`, and the effect of the write after it. A plugin that must never fail a call is an observer:
/// see [`observe`].
pub trait Plugin: Send + Sync + 'static {
    /// The name in errors and in `describe()`. It must be unique in the pipeline, constant, not empty and not `edge`, and have no
    /// `/` and no control character.
    fn name(&self) -> &str;

    /// The phase of the stack; [`Phase::Observe`] by default. It decides the order of the layers.
    fn phase(&self) -> Phase {
        Phase::Observe
    }

    /// Handles every operation whose hook is not overridden.
    fn around<O: Operation>(
        &self,
        call: Call<O>,
        next: Next<'_, O>,
    ) -> impl Future<Output = Result<Reply<O>>> + Send {
        next.run(call)
    }

    /// Handles an [`Add`]: a complete message.
    fn add(&self, call: Call<Add>, next: Next<'_, Add>) -> impl Future<Output = Result<Reply<Add>>> + Send {
        self.around(call, next)
    }

    /// Handles a [`Reserve`]: a new empty message.
    fn reserve(
        &self,
        call: Call<Reserve>,
        next: Next<'_, Reserve>,
    ) -> impl Future<Output = Result<Reply<Reserve>>> + Send {
        self.around(call, next)
    }

    /// Handles an [`UpdateContent`]: an append, or the end of a message.
    fn update_content(
        &self,
        call: Call<UpdateContent>,
        next: Next<'_, UpdateContent>,
    ) -> impl Future<Output = Result<Reply<UpdateContent>>> + Send {
        self.around(call, next)
    }

    /// Handles an [`Update`]: a patch of metadata.
    fn update(
        &self,
        call: Call<Update>,
        next: Next<'_, Update>,
    ) -> impl Future<Output = Result<Reply<Update>>> + Send {
        self.around(call, next)
    }

    /// Handles a [`Delete`] of one message.
    fn delete(
        &self,
        call: Call<Delete>,
        next: Next<'_, Delete>,
    ) -> impl Future<Output = Result<Reply<Delete>>> + Send {
        self.around(call, next)
    }

    /// Handles a [`Batch`]: several writes in one transaction. The hooks of its items are not called. A plugin that changes
    /// content uses [`CarriesContent`](crate::message::CarriesContent), which visits all items.
    fn batch(
        &self,
        call: Call<Batch>,
        next: Next<'_, Batch>,
    ) -> impl Future<Output = Result<Reply<Batch>>> + Send {
        self.around(call, next)
    }

    /// Handles an [`Import`]: messages with their original ids and times.
    fn import(
        &self,
        call: Call<Import>,
        next: Next<'_, Import>,
    ) -> impl Future<Output = Result<Reply<Import>>> + Send {
        self.around(call, next)
    }

    /// Handles an operation on a whole thread.
    fn thread(
        &self,
        call: Call<ThreadArgs>,
        next: Next<'_, ThreadArgs>,
    ) -> impl Future<Output = Result<Reply<ThreadArgs>>> + Send {
        self.around(call, next)
    }

    /// Handles a read.
    fn read(
        &self,
        call: Call<ReadArgs>,
        next: Next<'_, ReadArgs>,
    ) -> impl Future<Output = Result<Reply<ReadArgs>>> + Send {
        self.around(call, next)
    }

    /// Handles an operation of a consumer of the change feed, such as a move of its cursor.
    fn consumer(
        &self,
        call: Call<ConsumerArgs>,
        next: Next<'_, ConsumerArgs>,
    ) -> impl Future<Output = Result<Reply<ConsumerArgs>>> + Send {
        self.around(call, next)
    }

    /// Handles an operation on agent sessions.
    fn session(
        &self,
        call: Call<SessionArgs>,
        next: Next<'_, SessionArgs>,
    ) -> impl Future<Output = Result<Reply<SessionArgs>>> + Send {
        self.around(call, next)
    }

    /// Handles an operation of replication.
    fn replica(
        &self,
        call: Call<ReplicaArgs>,
        next: Next<'_, ReplicaArgs>,
    ) -> impl Future<Output = Result<Reply<ReplicaArgs>>> + Send {
        self.around(call, next)
    }
}
