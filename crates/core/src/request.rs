//! What goes through the layers: a request down, a response up.

use crate::{
    Context, OpKind, Operation, PersistArgs, PersistError, PersistResult, Position, Result,
    context::Extensions,
};

/// An operation on its way down. What a `tower::Layer` of a pipeline receives.
#[derive(Debug, Clone)]
pub struct PersistRequest {
    /// The operation.
    pub args: PersistArgs,
    /// The facts of the call.
    pub context: Context,
}

impl PersistRequest {
    /// Which operation it is.
    #[must_use]
    pub const fn kind(&self) -> OpKind {
        self.args.kind()
    }

    /// Whether the call can add a row to the store: by [what it does](PersistArgs::grows), or by the idempotency key that is recorded with
    /// it. A key of what [settles](PersistArgs::settles) or [deletes](PersistArgs::deletes) is not looked at, so that a caller who
    /// names one on every call can make room.
    #[must_use]
    pub fn grows(&self) -> bool {
        let is_keyed = self.context.idempotency().is_some() && self.kind().is_write();
        self.args.grows() || is_keyed && !self.args.settles() && !self.args.deletes()
    }
}

/// An answer on its way up.
#[derive(Debug, Clone)]
pub struct PersistResponse {
    /// The output.
    pub result: PersistResult,
    /// What the store says about the commit.
    pub receipt: Receipt,
    /// What layers further in left for layers further out.
    pub extensions: Extensions,
}

/// What a store says about a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The last position that the write took; none for a read and for a replay.
    pub position: Option<Position>,
}

impl Receipt {
    /// The receipt of a change at this position.
    #[must_use]
    pub const fn at(position: Position) -> Self {
        Self { position: Some(position) }
    }
}

/// So many bytes at most of what a writer has appended to a message are not with the store, although the call was answered: a
/// layer keeps them back and gives them on with what comes next. In the [extensions](PersistResponse::extensions) of the answer to a
/// write, and to a read of that one message, where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferedBytes(pub usize);

/// The most bytes of JSON that the content of a message may have. In the [extensions](PersistResponse::extensions) of the answer to
/// a [`Reserve`](crate::operation::Reserve), where the backend or a layer limits it: a [`Draft`](crate::Draft) refuses the append that exceeds it. A
/// layer that makes content longer lowers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentLimit(pub u64);

/// How many attempts an answer took, the first included: left among its extensions by a layer that made the call again, for
/// layers further out. One that was answered at once has none; of an error, [`PersistError::attempts`] says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptsMade(pub u32);

/// A typed operation on its way down: what a [`Plugin`](crate::Plugin) receives.
#[derive(Debug, Clone)]
pub struct Call<O> {
    /// The operation.
    pub op: O,
    /// The facts of the call.
    pub context: Context,
}

impl<O: Operation> From<Call<O>> for PersistRequest {
    fn from(call: Call<O>) -> Self {
        Self { args: call.op.into(), context: call.context }
    }
}

/// A typed answer on its way up: what a [`Plugin`](crate::Plugin) and a [`Backend`](crate::Backend) return.
#[derive(Debug)]
pub struct Reply<O: Operation> {
    /// The output.
    pub output: O::Output,
    /// What the store says about the commit.
    pub receipt: Receipt,
    /// What layers further in left for layers further out.
    pub extensions: Extensions,
}

impl<O: Operation> Reply<O> {
    /// An answer without a commit behind it: a read, a replay, a short-circuit.
    pub fn new(output: O::Output) -> Self {
        Self { output, receipt: Receipt::default(), extensions: Extensions::new() }
    }

    /// An answer to a change that was committed at `position`.
    pub fn at(output: O::Output, position: Position) -> Self {
        Self { output, receipt: Receipt::at(position), extensions: Extensions::new() }
    }

    /// Reads an erased answer as one to `O`.
    ///
    /// # Errors
    /// [`ContractViolation`](crate::ErrorKind::ContractViolation) when it answers another operation.
    #[inline]
    pub fn from_response(response: PersistResponse) -> Result<Self> {
        let PersistResponse { result, receipt, extensions } = response;
        match O::output(result) {
            Ok(output) => Ok(Self { output, receipt, extensions }),
            Err(other) => Err(PersistError::wrong_answer(O::KIND.as_str(), other.as_str())),
        }
    }
}

impl<O: Operation> From<Reply<O>> for PersistResponse {
    #[inline]
    fn from(reply: Reply<O>) -> Self {
        Self { result: reply.output.into(), receipt: reply.receipt, extensions: reply.extensions }
    }
}
