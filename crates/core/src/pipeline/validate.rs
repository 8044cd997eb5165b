//! Validation: refuses calls with invalid arguments before the first layer.

use crate::{
    Effect, ErrorKind, Metadata, PersistArgs, PersistError, ReadArgs, Result,
    backend::{
        names, rules,
        search::{MAX_QUERY_BYTES, Query, Tokenizer},
        sessions,
    },
    operation::{
        Addressed as _, ApplyImages, ConsumerArgs, Import, QuarantineChange, ReadImages, ReplicaArgs,
        SetReplicationState, ThreadArgs, numbers,
    },
};

pub(super) fn check(args: &PersistArgs) -> Result<()> {
    match args {
        PersistArgs::Batch(batch) if batch.items.is_empty() => {
            Err(invalid("the batch is empty: add at least one write".to_owned()))
        }
        PersistArgs::Batch(batch) => batch.items.iter().enumerate().try_for_each(|(index, item)| {
            let checked = match item {
                PersistArgs::Session(session) if session.thread().is_none() => {
                    let name = session.as_str();
                    Err(invalid(format!("a `{name}` cannot be an item of a batch: it addresses no thread")))
                }
                PersistArgs::Batch(_)
                | PersistArgs::Import(_)
                | PersistArgs::Read(_)
                | PersistArgs::Consumer(_)
                | PersistArgs::Replica(_)
                | PersistArgs::Thread(ThreadArgs::Prune(_) | ThreadArgs::Purge(_) | ThreadArgs::Rebuild(_)) =>
                {
                    let kind = item.kind();
                    Err(invalid(format!("a `{kind}` cannot be an item of a batch")))
                }
                PersistArgs::Add(_)
                | PersistArgs::Reserve(_)
                | PersistArgs::UpdateContent(_)
                | PersistArgs::Update(_)
                | PersistArgs::Delete(_)
                | PersistArgs::Session(_)
                | PersistArgs::Thread(_) => check(item),
            };
            checked.map_err(|error| about(error, item).with_batch_index(index))
        }),
        PersistArgs::Add(add) => no_reserved_keys(&add.metadata),
        PersistArgs::Reserve(reserve) => {
            no_reserved_keys(&reserve.metadata)?;
            rules::check_lease(reserve.lease).map_err(|error| error.with_effect(Effect::NotApplied))
        }
        PersistArgs::Update(update) => no_reserved_keys(update.metadata.as_metadata()),
        PersistArgs::Delete(delete) if delete.only_damaged && delete.expected.is_some() => {
            Err(invalid("a damaged message has no revision to expect: leave `expected` out".to_owned()))
        }
        PersistArgs::UpdateContent(_) | PersistArgs::Delete(_) => Ok(()),
        PersistArgs::Import(import) => check_import(import),
        PersistArgs::Thread(ThreadArgs::Create(create)) => {
            no_reserved_keys(&create.metadata)?;
            rules::check_labels(&create.labels)
        }
        PersistArgs::Thread(ThreadArgs::Label(label)) => no_reserved_keys(label.metadata.as_metadata()),
        PersistArgs::Thread(ThreadArgs::Prune(prune)) => rules::check_limit(prune.limit),
        PersistArgs::Thread(ThreadArgs::Purge(purge)) => rules::check_limit(purge.limit),
        PersistArgs::Thread(ThreadArgs::Resolve(asked)) => {
            names::check(asked).map_err(|error| error.with_effect(Effect::NotApplied))
        }
        PersistArgs::Thread(_) => Ok(()),
        PersistArgs::Read(ReadArgs::Get(_) | ReadArgs::Thread(_) | ReadArgs::PlanPrune(_)) => Ok(()),
        PersistArgs::Read(ReadArgs::Page(page)) => rules::check_page(page.limit, page.max_bytes),
        PersistArgs::Read(ReadArgs::OpenReservations(list)) => rules::check_page(list.limit, list.max_bytes),
        PersistArgs::Read(ReadArgs::Threads(list)) => rules::check_page(list.limit, list.max_bytes),
        PersistArgs::Read(ReadArgs::Purgeable(list)) => rules::check_limit(list.limit),
        PersistArgs::Read(ReadArgs::Tenants(list)) => rules::check_limit(list.limit),
        PersistArgs::Read(ReadArgs::Changes(read)) => rules::check_limit(read.limit),
        PersistArgs::Read(ReadArgs::Audit(read)) => rules::check_page(read.limit, read.max_bytes),
        PersistArgs::Read(ReadArgs::Search(read)) => {
            rules::check_limit(read.limit)?;
            let bytes = read.query.len();
            if bytes > MAX_QUERY_BYTES {
                let detail = format!("a query of {bytes} bytes is more than the {MAX_QUERY_BYTES} allowed");
                return Err(PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied));
            }
            // A store with another tokenizer can find more terms in the query, and checks them itself.
            Query::parse(&read.query, Tokenizer::default()).map(drop)
        }
        PersistArgs::Read(ReadArgs::Cursor(_) | ReadArgs::Resolve(_)) => Ok(()),
        PersistArgs::Read(ReadArgs::Attempts(list)) => rules::check_limit(list.limit),
        PersistArgs::Read(ReadArgs::Quarantined(list)) => rules::check_limit(list.limit),
        PersistArgs::Read(ReadArgs::Aliases(list)) => rules::check_limit(list.limit),
        PersistArgs::Consumer(ConsumerArgs::Quarantine(change)) => {
            let (bytes, max) = (change.why.len(), QuarantineChange::MAX_WHY);
            if bytes > max {
                let detail = format!("a reason of {bytes} bytes is more than the {max} allowed");
                return Err(PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied));
            }
            Ok(())
        }
        PersistArgs::Consumer(_) => Ok(()),
        PersistArgs::Replica(replica) => check_replica(replica),
        PersistArgs::Read(ReadArgs::Images(read)) => check_images(read.limit as usize),
        PersistArgs::Read(ReadArgs::ReplicationStatus(_)) => Ok(()),
        PersistArgs::Session(session) => {
            sessions::check(session).map_err(|error| error.with_effect(Effect::NotApplied))
        }
    }
}

fn check_replica(args: &ReplicaArgs) -> Result<()> {
    match args {
        ReplicaArgs::Apply(apply) => {
            if !apply.images.is_empty() {
                check_images(apply.images.len())?;
            }
            check_numbers(apply).map_err(|why| invalid(format!("the images are not applied: {why}")))
        }
        ReplicaArgs::SetState(SetReplicationState { expected, to, fingerprint_key: _ }) => {
            numbers::check("epoch", &to.epoch)
                .map_err(|why| invalid(format!("the replication state is invalid: {why}")))?;
            let rises = to.epoch > expected.epoch || to.epoch == expected.epoch && !to.is_primary();
            if rises || to == expected {
                return Ok(());
            }
            Err(invalid(format!("a store that is {expected} cannot become {to}: the epoch must increase")))
        }
        ReplicaArgs::Begin(_) | ReplicaArgs::End(_) => Ok(()),
    }
}

/// Checks the numbers that a store increments. A cursor is not checked: its capture is random, and only its own store uses it.
fn check_numbers(apply: &ApplyImages) -> std::result::Result<(), numbers::NotCountable> {
    let ApplyImages { epoch, from: _, to, images, position, kept_after } = apply;
    numbers::check("epoch", epoch)?;
    numbers::check("to.changes", &to.changes)?;
    numbers::check("to.audit", &to.audit)?;
    numbers::check("images", images)?;
    numbers::check("position", position)?;
    numbers::check("kept_after", kept_after)
}

fn check_images(count: usize) -> Result<()> {
    let max = ReadImages::MAX_LIMIT;
    if (1..=max as usize).contains(&count) {
        return Ok(());
    }
    Err(invalid(format!("{count} row images are not between 1 and {max}")))
}

fn check_import(import: &Import) -> Result<()> {
    rules::check_import(import).map_err(|error| error.with_effect(Effect::NotApplied))?;
    import.rows.iter().try_for_each(|row| {
        no_reserved_keys(&row.metadata).map_err(|error| error.about(&import.thread, &row.id))
    })
}

fn no_reserved_keys(metadata: &Metadata) -> Result<()> {
    match metadata.iter().find(|(key, _)| key.starts_with(Metadata::RESERVED)) {
        None => Ok(()),
        Some((key, _)) => Err(invalid(format!(
            "the metadata key `{key}` is reserved: it begins with `{}`",
            Metadata::RESERVED
        ))),
    }
}

fn about(error: PersistError, args: &PersistArgs) -> PersistError {
    match (args.thread(), args.message()) {
        (Some(thread), Some(message)) => error.about(thread, message),
        _ => error,
    }
}

fn invalid(detail: String) -> PersistError {
    PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::SearchMessages;

    #[test]
    fn a_query_above_the_byte_limit_is_refused() {
        let search = |bytes| check(&SearchMessages::new("x".repeat(bytes), 1).into());
        search(MAX_QUERY_BYTES).unwrap();
        let refused = search(MAX_QUERY_BYTES + 1).unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
    }
}
