use throughline_core::{IdempotencyKey, PersistArgs, PersistResponse, Persistence, Result};

/// Makes a call of any kind in its typed form, as callers do, with a key or without.
///
/// # Errors
/// Those of the call.
pub async fn call(
    db: &Persistence,
    args: PersistArgs,
    key: Option<IdempotencyKey>,
) -> Result<PersistResponse> {
    macro_rules! typed {
        ($operation:expr) => {{
            let request = db.run($operation);
            let request = match key {
                Some(key) => request.key(key),
                None => request,
            };
            request.reply().await.map(Into::into)
        }};
    }
    match args {
        PersistArgs::Add(add) => typed!(add),
        PersistArgs::Reserve(reserve) => typed!(reserve),
        PersistArgs::UpdateContent(update) => typed!(update),
        PersistArgs::Update(update) => typed!(update),
        PersistArgs::Delete(delete) => typed!(delete),
        PersistArgs::Batch(batch) => typed!(batch),
        PersistArgs::Import(import) => typed!(import),
        PersistArgs::Thread(thread) => typed!(thread),
        PersistArgs::Consumer(consumer) => typed!(consumer),
        PersistArgs::Session(session) => typed!(session),
        PersistArgs::Replica(replica) => typed!(replica),
        PersistArgs::Read(read) => typed!(read),
        other => unreachable!("{:?} is an operation that the kit does not know", other.kind()),
    }
}
