//! The comfortable way to write a layer: async hooks with typed calls and answers.
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
//!
//! A hook that is not written forwards to [`around`](Plugin::around), which forwards to the next layer. A guard or a
//! redirect overrides `around` first, so that no operation falls through by default.
//!
//! For one-liners there are [`from_fn`], [`observe`], [`respond`] and [`redirect`](crate::redirect).

mod from_fn;
mod layer;
mod list;
mod next;
mod observe;
mod respond;
mod service;
mod tail;

use std::future::Future;

pub use self::{
    from_fn::{AsyncRequestFn, FromFn, FromFnService, NextRequest, from_fn},
    layer::PluginLayer,
    list::{MountedPlugins, PluginList},
    next::{Next, NextFuture},
    observe::{Event, Observe, ObserveFuture, ObserveLayer, ObserveService, ObserverStats, Outcome, observe},
    respond::{Respond, respond},
    service::{PluginListService, PluginService},
};
use crate::{
    Call, Operation, Phase, ReadArgs, Reply, Result,
    operation::{
        Add, Batch, ConsumerArgs, Delete, Import, ReplicaArgs, Reserve, SessionArgs, ThreadArgs, Update,
        UpdateContent,
    },
};

/// A layer, written as hooks.
///
/// Every hook gets the call by value and the rest of the stack as `next`, which runs at most once. What it returns is
/// the answer, of the type that the operation has: another type does not compile.
///
/// # Cancel safety
/// A hook is dropped at an `.await` when the caller leaves before the call was handed to the backend. After the
/// hand-over it runs to its end on the runtime of the pipeline.
///
/// # Failure
/// An error, a panic or a hang of a hook fails the call and is put down to this plugin by its name, with the effect
/// known at that moment: before `next` nothing was applied, after it the write stands. A plugin that must never do
/// so is an observer: see [`observe`].
pub trait Plugin: Send + Sync + 'static {
    /// The name in errors and in `describe()`; unique in the pipeline, and always the same. It has a character at least, no `/` and
    /// no control character, and is not `edge`.
    fn name(&self) -> &str;

    /// The part of the order it belongs to; [`Phase::Observe`] unless it says otherwise.
    fn phase(&self) -> Phase {
        Phase::Observe
    }

    /// Every operation that has no hook of its own here.
    fn around<O: Operation>(
        &self,
        call: Call<O>,
        next: Next<'_, O>,
    ) -> impl Future<Output = Result<Reply<O>>> + Send {
        next.run(call)
    }

    /// A complete message is added.
    fn add(&self, call: Call<Add>, next: Next<'_, Add>) -> impl Future<Output = Result<Reply<Add>>> + Send {
        self.around(call, next)
    }

    /// A message is reserved.
    fn reserve(
        &self,
        call: Call<Reserve>,
        next: Next<'_, Reserve>,
    ) -> impl Future<Output = Result<Reply<Reserve>>> + Send {
        self.around(call, next)
    }

    /// The content of a message changes, or it is settled.
    fn update_content(
        &self,
        call: Call<UpdateContent>,
        next: Next<'_, UpdateContent>,
    ) -> impl Future<Output = Result<Reply<UpdateContent>>> + Send {
        self.around(call, next)
    }

    /// The metadata of a message is patched.
    fn update(
        &self,
        call: Call<Update>,
        next: Next<'_, Update>,
    ) -> impl Future<Output = Result<Reply<Update>>> + Send {
        self.around(call, next)
    }

    /// A message is deleted.
    fn delete(
        &self,
        call: Call<Delete>,
        next: Next<'_, Delete>,
    ) -> impl Future<Output = Result<Reply<Delete>>> + Send {
        self.around(call, next)
    }

    /// Several writes are made as one. Their hooks are not called: a plugin that touches content uses the
    /// [visitor](crate::message::CarriesContent), which goes into batches.
    fn batch(
        &self,
        call: Call<Batch>,
        next: Next<'_, Batch>,
    ) -> impl Future<Output = Result<Reply<Batch>>> + Send {
        self.around(call, next)
    }

    /// Messages that were written elsewhere are brought in.
    fn import(
        &self,
        call: Call<Import>,
        next: Next<'_, Import>,
    ) -> impl Future<Output = Result<Reply<Import>>> + Send {
        self.around(call, next)
    }

    /// Something is done to a thread as a whole.
    fn thread(
        &self,
        call: Call<ThreadArgs>,
        next: Next<'_, ThreadArgs>,
    ) -> impl Future<Output = Result<Reply<ThreadArgs>>> + Send {
        self.around(call, next)
    }

    /// Something is read.
    fn read(
        &self,
        call: Call<ReadArgs>,
        next: Next<'_, ReadArgs>,
    ) -> impl Future<Output = Result<Reply<ReadArgs>>> + Send {
        self.around(call, next)
    }

    /// A consumer of the changes keeps something of itself.
    fn consumer(
        &self,
        call: Call<ConsumerArgs>,
        next: Next<'_, ConsumerArgs>,
    ) -> impl Future<Output = Result<Reply<ConsumerArgs>>> + Send {
        self.around(call, next)
    }

    /// Something is done to agent sessions.
    fn session(
        &self,
        call: Call<SessionArgs>,
        next: Next<'_, SessionArgs>,
    ) -> impl Future<Output = Result<Reply<SessionArgs>>> + Send {
        self.around(call, next)
    }

    /// The store is kept an exact copy of another, or another one of it.
    fn replica(
        &self,
        call: Call<ReplicaArgs>,
        next: Next<'_, ReplicaArgs>,
    ) -> impl Future<Output = Result<Reply<ReplicaArgs>>> + Send {
        self.around(call, next)
    }
}
