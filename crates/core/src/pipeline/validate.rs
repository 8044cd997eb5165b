//! Validation: refuses calls with invalid arguments before the first layer.

use crate::{
    Effect, ErrorKind, Metadata, PersistArgs, PersistError, ReadArgs, Result,
    backend::{
        names, rules,
        search::{MAX_QUERY_BYTES, Query, Tokenizer},
        sessions,
    },
    operation::{
        Addressed as _, ApplyImages, Batch, ConsumerArgs, Import, QuarantineChange, ReadImages, ReplicaArgs,
        SearchMessages, SetReplicationState, ThreadArgs, Update, facts::Limits, numbers,
    },
};

pub(super) fn check(args: &PersistArgs) -> Result<()> {
    let facts = args.facts();
    if let Some(Limits { items, bytes }) = facts.limits {
        match bytes {
            Some(bytes) => rules::check_page(items, bytes)?,
            None => rules::check_limit(items)?,
        }
    }
    for metadata in facts.metadata.into_iter().chain(facts.more_metadata) {
        no_reserved_keys(metadata)?;
    }
    match args {
        PersistArgs::Batch(batch) => check_batch(batch),
        PersistArgs::Reserve(reserve) => {
            rules::check_lease(reserve.lease).map_err(|error| error.with_effect(Effect::NotApplied))
        }
        PersistArgs::Delete(delete) if delete.only_damaged && delete.expected.is_some() => {
            Err(invalid("a damaged message has no revision to expect: leave `expected` out".to_owned()))
        }
        PersistArgs::Update(update) => check_absent(update),
        PersistArgs::Import(import) => check_import(import),
        PersistArgs::Thread(ThreadArgs::Create(create)) => rules::check_labels(&create.labels),
        PersistArgs::Thread(ThreadArgs::Resolve(asked)) => {
            names::check(asked).map_err(|error| error.with_effect(Effect::NotApplied))
        }
        PersistArgs::Read(ReadArgs::Threads(list)) => {
            list.after.as_ref().map_or(Ok(()), |after| after.expect_order(list.order))
        }
        PersistArgs::Read(ReadArgs::Search(read)) => check_query(read),
        PersistArgs::Read(ReadArgs::Find(find)) => find.criterion().map(drop),
        PersistArgs::Read(ReadArgs::Images(read)) => check_images(read.limit as usize),
        PersistArgs::Consumer(ConsumerArgs::Quarantine(change)) => check_reason(change),
        PersistArgs::Replica(replica) => check_replica(replica),
        PersistArgs::Session(session) => {
            sessions::check(session).map_err(|error| error.with_effect(Effect::NotApplied))
        }
        _ => Ok(()),
    }
}

fn check_batch(batch: &Batch) -> Result<()> {
    if batch.items.is_empty() {
        return Err(invalid("the batch is empty: add at least one write".to_owned()));
    }
    batch.items.iter().enumerate().try_for_each(|(index, item)| {
        check_item(item).map_err(|error| about(error, item).with_batch_index(index))
    })
}

fn check_item(item: &PersistArgs) -> Result<()> {
    if item.facts().is_batchable {
        return check(item);
    }
    match item {
        PersistArgs::Session(session) => {
            let name = session.as_str();
            Err(invalid(format!("a `{name}` cannot be an item of a batch: it addresses no thread")))
        }
        _ => Err(invalid(format!("a `{}` cannot be an item of a batch", item.kind()))),
    }
}

fn check_query(read: &SearchMessages) -> Result<()> {
    let bytes = read.query.len();
    if bytes > MAX_QUERY_BYTES {
        let detail = format!("a query of {bytes} bytes is more than the {MAX_QUERY_BYTES} allowed");
        return Err(PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied));
    }
    // A store with another tokenizer can find more terms in the query, and checks them itself.
    Query::parse(&read.query, Tokenizer::default()).map(drop)
}

fn check_reason(change: &QuarantineChange) -> Result<()> {
    let (bytes, max) = (change.why.len(), QuarantineChange::MAX_WHY);
    if bytes > max {
        let detail = format!("a reason of {bytes} bytes is more than the {max} allowed");
        return Err(PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied));
    }
    Ok(())
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

/// Refuses values that an update cannot set where they are absent.
fn check_absent(update: &Update) -> Result<()> {
    for (name, value) in update.where_absent.iter() {
        if value.get() == "null" {
            return Err(invalid(format!(
                "the metadata name `{name}` is to be set where it is absent, and its value is null: give it a value, \
                 or clear the name by `metadata`"
            )));
        }
        if update.metadata.as_metadata().get(name).is_some() {
            return Err(invalid(format!(
                "the metadata name `{name}` is in `metadata` and in `whereAbsent`: name it in one of them"
            )));
        }
    }
    Ok(())
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
    use crate::{
        MetadataPatch, Timestamp,
        operation::ListThreads,
        thread::{ThreadCursor, ThreadOrder},
    };

    #[test]
    fn an_update_where_absent_takes_no_null_no_name_twice_and_no_reserved_name() {
        let update = |patch: &str, absent: &str| {
            let patch: MetadataPatch = serde_json::from_str(patch).unwrap();
            let absent = serde_json::from_str(absent).unwrap();
            check(&Update::new("t".parse().unwrap(), "m".parse().unwrap(), patch).with_absent(absent).into())
        };
        update(r#"{"a":null}"#, r#"{"b":1,"c":[null]}"#).unwrap();
        for (patch, absent, name) in [
            ("{}", r#"{"a":1,"b":null}"#, "`b` is to be set where it is absent, and its value is null"),
            (r#"{"a":1}"#, r#"{"a":2}"#, "`a` is in `metadata` and in `whereAbsent`"),
            (r#"{"a":null}"#, r#"{"a":2}"#, "`a` is in `metadata` and in `whereAbsent`"),
            ("{}", r#"{"throughline.x":1}"#, "`throughline.x` is reserved"),
        ] {
            let refused = update(patch, absent).unwrap_err();
            assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Invalid, Effect::NotApplied));
            assert!(refused.detail().contains(name), "{refused}");
        }
    }

    #[test]
    fn a_list_refuses_the_cursor_of_another_order() {
        for order in ThreadOrder::ALL {
            let at = Timestamp::from_micros(7);
            let cursor = ThreadCursor { order, at, thread: "t".parse().unwrap() };
            for listed in ThreadOrder::ALL {
                let list = ListThreads::new(1).ordered_by(listed).after(cursor.clone());
                let refused = check(&list.into()).map_err(|error| (error.kind(), error.effect()));
                let due =
                    if listed == order { Ok(()) } else { Err((ErrorKind::Invalid, Effect::NotApplied)) };
                assert_eq!(refused, due, "a cursor of `{order}` in a list of `{listed}`");
            }
        }
    }

    #[test]
    fn a_query_above_the_byte_limit_is_refused() {
        let search = |bytes| check(&SearchMessages::new("x".repeat(bytes), 1).into());
        search(MAX_QUERY_BYTES).unwrap();
        let refused = search(MAX_QUERY_BYTES + 1).unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
    }
}
