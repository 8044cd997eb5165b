//! The vocabulary and the tower pipeline of Throughline.
//!
//! Every change to a conversation, and every read of it, goes through one typed `tower` stack to one backend, so that
//! layers can observe, redirect or short-circuit it, and nothing goes round it.
//!
//! - A **host** composes a stack with [`Persistence::builder`] and makes typed calls: [`Thread`], [`Draft`].
//! - A **plugin author** writes a `tower::Layer` over [`PersistRequest`], or implements [`Plugin`].
//! - A **backend author** implements [`Backend`].
//!
//! The crate `throughline` puts this one together with the backends.

pub mod backend;
mod context;
pub mod error;
mod handle;
mod id;
pub mod layers;
mod message;
pub mod operation;
pub mod pipeline;
pub mod plugin;
mod request;

pub(crate) use self::message::lease_milliseconds as message_lease_milliseconds;
pub use self::{
    backend::{Admitted, Backend, Capabilities, Durability},
    context::{CallId, Clock, Context, Extensions, Idempotency, SystemClock},
    error::{BoxError, Effect, ErrorKind, PersistError, Result, Site},
    handle::{
        Coalesce, Draft, DraftRequest, Persistence, ReadRequest, ReplyFuture, Request, RequestFuture, Swept,
        Thread, Walk, Watermark,
    },
    id::{AttachmentKey, IdempotencyKey, InvalidId, MAX_ID_BYTES, MessageId, TenantId, ThreadId},
    message::{
        Content, ContentBuffer, Delta, InvalidContent, InvalidMetadata, Lease, Message, MessageState,
        Metadata, MetadataPatch, Position, Revision, Role, Seq, Timestamp,
    },
    operation::{
        Add, Added, Addressed, Batch, Batched, CarriesContent, ContentChange, ContentUpdated, Delete,
        Deleted, Fingerprint, GetMessage, ListOpen, NewMessage, NewReservation, OpKind, OpenCursor,
        OpenReservations, Operation, Page, PageFrom, PersistArgs, PersistResult, Place, PlaceMut, ReadArgs,
        ReadOperation, ReadPage, ReadResult, Reserve, Reserved, Slot, SlotMut, Update, UpdateContent,
        UpdateMode, Updated, Visibility,
    },
    pipeline::{Described, Phase},
    plugin::{Next, Plugin, PluginLayer},
    request::{Call, PersistRequest, PersistResponse, Receipt, Reply},
};
