//! Requests and responses: the values that pass through the layers.

use crate::{
    Context, Effect, ErrorKind, OpKind, Operation, PersistArgs, PersistError, PersistResult, Position,
    Result, context::Extensions,
};

/// An operation with its context: the request type of every `tower::Layer` in a pipeline.
#[derive(Debug, Clone)]
pub struct PersistRequest {
    /// The operation.
    pub args: PersistArgs,
    /// The context of the call.
    pub context: Context,
}

impl PersistRequest {
    /// The kind of the operation.
    #[must_use]
    pub const fn kind(&self) -> OpKind {
        self.args.kind()
    }

    /// Whether the call can add a row to the store: through its [operation](PersistArgs::grows), or through the idempotency key
    /// that the store records with it. The key of an operation that [settles](PersistArgs::settles) or
    /// [deletes](PersistArgs::deletes) does not count, so that a caller with keys on every call can still free space.
    #[must_use]
    pub fn grows(&self) -> bool {
        let is_keyed = self.context.idempotency().is_some() && self.kind().is_write();
        self.args.grows() || is_keyed && !self.args.settles() && !self.args.deletes()
    }
}

/// The answer to a request, with the receipt of its commit.
#[derive(Debug, Clone)]
pub struct PersistResponse {
    /// The output of the operation.
    pub result: PersistResult,
    /// The receipt of the commit.
    pub receipt: Receipt,
    /// The values that inner layers pass to outer layers.
    pub extensions: Extensions,
}

/// The result of a commit, apart from the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The position of the last change of the write. `None` for a read and for a replay.
    pub position: Option<Position>,
}

impl Receipt {
    /// Returns the receipt of a change at this position.
    #[must_use]
    pub const fn at(position: Position) -> Self {
        Self { position: Some(position) }
    }
}

/// The most bytes that a writer has appended and a layer still buffers, although the call was answered. The layer writes them
/// with the next update of the message. A layer puts this value into the [extensions](PersistResponse::extensions) of its answers
/// to writes, and to reads of that one message, while it buffers bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferedBytes(pub usize);

/// The most bytes that the content of a message may have as JSON. A backend or a layer with such a limit puts it into the
/// [extensions](PersistResponse::extensions) of the answer to [`Reserve`](crate::operation::Reserve). A [`Draft`](crate::Draft)
/// then refuses an append that exceeds the limit. A layer that makes content longer lowers the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentLimit(pub u64);

/// The number of attempts of an answer, including the first. A layer that repeated the call puts it into the extensions of the
/// answer, for outer layers. An answer of the first attempt has none. For an error, see [`PersistError::attempts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptsMade(pub u32);

/// A typed operation with its context, which a [`Plugin`](crate::Plugin) receives.
#[derive(Debug, Clone)]
pub struct Call<O> {
    /// The operation.
    pub op: O,
    /// The context of the call.
    pub context: Context,
}

impl<O: Operation> From<Call<O>> for PersistRequest {
    fn from(call: Call<O>) -> Self {
        Self { args: call.op.into(), context: call.context }
    }
}

/// A typed answer, which a [`Plugin`](crate::Plugin) and a [`Backend`](crate::Backend) return.
#[derive(Debug)]
pub struct Reply<O: Operation> {
    /// The output of the operation.
    pub output: O::Output,
    /// The receipt of the commit.
    pub receipt: Receipt,
    /// The values that inner layers pass to outer layers.
    pub extensions: Extensions,
}

impl<O: Operation> Reply<O> {
    /// Returns an answer without a commit: of a read, a replay or a short-circuit.
    pub fn new(output: O::Output) -> Self {
        Self { output, receipt: Receipt::default(), extensions: Extensions::new() }
    }

    /// Returns an answer to a change that the store committed at `position`.
    pub fn at(output: O::Output, position: Position) -> Self {
        Self { output, receipt: Receipt::at(position), extensions: Extensions::new() }
    }

    /// Returns the answer of a store to a write that it committed at `position`; `None` for a replay.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal), with the effect `Applied`, if `result` is the answer to another operation.
    pub fn of_commit(result: PersistResult, position: Option<Position>) -> Result<Self> {
        let answered = result.kind();
        if answered != O::KIND {
            let detail = format!("the store answered a `{answered}`, and the call is a `{}`", O::KIND);
            return Err(PersistError::new(ErrorKind::Internal, detail).with_effect(Effect::Applied));
        }
        let receipt = position.map(Receipt::at).unwrap_or_default();
        O::output(result, |output| Self { output, receipt, extensions: Extensions::new() })
    }

    /// Converts an erased answer into an answer to `O`.
    ///
    /// # Errors
    /// [`ContractViolation`](crate::ErrorKind::ContractViolation) if it is the answer to another operation.
    #[inline]
    pub fn from_response(response: PersistResponse) -> Result<Self> {
        let PersistResponse { result, receipt, extensions } = response;
        O::output(result, |output| Self { output, receipt, extensions })
    }
}

impl<O: Operation> From<Reply<O>> for PersistResponse {
    #[inline]
    fn from(reply: Reply<O>) -> Self {
        Self { result: reply.output.into(), receipt: reply.receipt, extensions: reply.extensions }
    }
}
