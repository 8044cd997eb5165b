use std::{fmt, sync::Arc};

use crate::{
    Call, Context, Next, Operation, PersistArgs, PersistResponse, PersistResult, Phase, Plugin, Reply,
    Result, context::Extensions, error::SiteName, request::Receipt,
};

/// Returns a layer that can answer instead of the rest of the stack: a dry run, a cache, a refusal.
///
/// The function receives every operation in its erased form, and returns `None` to let it pass. If the answer has another kind,
/// thread or id than the call, the call fails as `ContractViolation` with the name of this layer. The layer is in
/// [`Phase::Route`].
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere;
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { "nowhere" }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::{ErrorKind, PersistError, Persistence, plugin::respond};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let no_deletes = respond("no-deletes", |args, _context| {
///     args.deletes().then(|| Err(PersistError::new(ErrorKind::Denied, "nothing is deleted here")))
/// });
/// let db = Persistence::builder().plugin(no_deletes).backend(Nowhere).build()?;
/// let error = db.thread("t").delete("m".parse()?).await.unwrap_err();
/// assert_eq!(error.site().unwrap().name(), "no-deletes");
/// # Ok(())
/// # }
/// ```
pub fn respond<F>(name: &str, function: F) -> Respond<F>
where
    F: Fn(&PersistArgs, &Context) -> Option<Result<PersistResult>> + Send + Sync + 'static,
{
    Respond { name: name.into(), function: Arc::new(function) }
}

/// The plugin of [`respond`].
pub struct Respond<F> {
    name: SiteName,
    function: Arc<F>,
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Respond").field(&self.name).finish()
    }
}

impl<F> Plugin for Respond<F>
where
    F: Fn(&PersistArgs, &Context) -> Option<Result<PersistResult>> + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let args: PersistArgs = call.op.into();
        match (self.function)(&args, &call.context) {
            Some(answer) => Reply::from_response(PersistResponse {
                result: answer?,
                receipt: Receipt::default(),
                extensions: Extensions::new(),
            }),
            None => {
                let Ok(op) = O::try_from(args) else { unreachable!("an operation is of its own kind") };
                next.run(Call { op, context: call.context }).await
            }
        }
    }
}
