//! Measures operations against the limits.

use std::fmt::Display;

use super::{LimitsLayer, depth::depth};
use throughline_core::{
    Delta, Effect, ErrorKind, PersistArgs, PersistError, Result,
    messages::{CarriesContent as _, ContentChange, FieldValue},
    threads::ThreadArgs,
};

impl LimitsLayer {
    /// Adds limits to appends, patches and batches that the store must check, because only the store knows the length
    /// of the existing content, metadata and answers.
    pub(super) fn bound_growth(&self, args: &mut PersistArgs) {
        match args {
            PersistArgs::Batch(batch) => {
                batch.items.iter_mut().for_each(|item| self.bound_growth(item));
                bound(&mut batch.max_answer_bytes, self.batch_bytes);
            }
            PersistArgs::UpdateContent(update) if matches!(update.change, ContentChange::Append(_)) => {
                bound(&mut update.max_content_bytes, self.content_bytes);
            }
            // Empty patches are for inner layers: `encrypt` uses one to re-encrypt metadata.
            PersistArgs::Update(update) if !update.metadata.is_empty() || !update.where_absent.is_empty() => {
                bound(&mut update.max_metadata_bytes, self.metadata_bytes);
            }
            PersistArgs::Thread(ThreadArgs::Label(label)) if !label.metadata.is_empty() => {
                bound(&mut label.max_metadata_bytes, self.metadata_bytes);
            }
            _ => {}
        }
    }

    /// Refuses `args` if it exceeds a limit; the error names the limit.
    pub(super) fn check(&self, args: &PersistArgs) -> Result<()> {
        match args {
            // A fork may copy everything that the store has.
            PersistArgs::Import(import) if import.is_copy() => Ok(()),
            PersistArgs::Batch(batch) => {
                within("operations in a batch", batch.items.len(), self.batch_items)?;
                let mut bytes = 0_usize;
                for (index, item) in batch.items.iter().enumerate() {
                    bytes = bytes
                        .saturating_add(self.measure(item).map_err(|error| error.with_batch_index(index))?);
                }
                within("bytes of content and metadata in a batch", bytes, self.batch_bytes)
            }
            PersistArgs::Import(import) => {
                within("messages in an import", import.rows.len(), self.batch_items)?;
                within("bytes of content and metadata in an import", self.measure(args)?, self.batch_bytes)
            }
            _ => self.measure(args).map(drop),
        }
    }

    /// Checks one operation and returns the number of its bytes.
    fn measure(&self, args: &PersistArgs) -> Result<usize> {
        let attachments = match args {
            PersistArgs::Add(add) => add.attachments.len(),
            PersistArgs::Reserve(reserve) => reserve.attachments.len(),
            PersistArgs::Update(update) => update.attachments.as_ref().map_or(0, Vec::len),
            PersistArgs::Import(import) => {
                import.rows.iter().map(|row| row.attachments.len()).max().unwrap_or(0)
            }
            PersistArgs::UpdateContent(_)
            | PersistArgs::Delete(_)
            | PersistArgs::Batch(_)
            | PersistArgs::Thread(_)
            | PersistArgs::Read(_)
            | PersistArgs::Consumer(_)
            | PersistArgs::Replica(_)
            | PersistArgs::Session(_) => 0,
            unknown => {
                let detail = format!(
                    "`limits` cannot measure the operation {}: its version is older than the core's",
                    unknown.kind()
                );
                return Err(PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied));
            }
        };
        within("attachments", attachments, self.attachments)?;
        let mut total = 0_usize;
        for field in args.content_fields() {
            let bytes = field.value.byte_len();
            match field.value {
                FieldValue::Whole(content) => {
                    within("bytes of content", bytes, self.content_bytes)?;
                    self.check_depth("content", content.as_json())?;
                }
                FieldValue::Delta(delta) => {
                    within("bytes of content", bytes, self.content_bytes)?;
                    if let Delta::Blocks(blocks) = delta {
                        self.check_depth("content", blocks.as_json())?;
                    }
                }
                FieldValue::Metadata(metadata) => {
                    within("bytes of metadata", bytes, self.metadata_bytes)?;
                    metadata.iter().try_for_each(|(_, value)| self.check_depth("metadata", value.get()))?;
                }
                FieldValue::Reason(_) => within("bytes of a reason", bytes, self.metadata_bytes)?,
                FieldValue::Title(_) | FieldValue::Preview(_) => {}
            }
            total = total.saturating_add(bytes);
        }
        Ok(total)
    }

    fn check_depth(&self, subject: &str, json: &str) -> Result<()> {
        within(&format_args!("levels of nesting in {subject}"), depth(json), self.depth)
    }
}

/// Lowers a limit.
fn bound(limit: &mut Option<u64>, bytes: usize) {
    let bytes = bytes as u64;
    *limit = Some(limit.map_or(bytes, |earlier| earlier.min(bytes)));
}

fn within(subject: &(impl Display + ?Sized), is: usize, allowed: usize) -> Result<()> {
    if is <= allowed {
        return Ok(());
    }
    Err(PersistError::new(ErrorKind::TooLarge, format!("{is} {subject} are more than the {allowed} allowed"))
        .with_effect(Effect::NotApplied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{
        Content, Metadata, MetadataPatch, NewMessage, NewThread, Role,
        ids::AttachmentKey,
        messages::{Add, Batch, ContentChange, Update, UpdateContent, UpdateMode},
        threads::{CreateThread, LabelThread},
    };

    const LIMITS: LimitsLayer = LimitsLayer::new()
        .content_bytes(40)
        .metadata_bytes(10)
        .depth(3)
        .attachments(2)
        .batch_items(3)
        .batch_bytes(100);

    fn check(args: impl Into<PersistArgs>) -> std::result::Result<(), String> {
        LIMITS.check(&args.into()).map_err(|error| {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
            error.detail().to_owned()
        })
    }

    fn add(json: &str) -> Add {
        let content = Content::from_json(json).unwrap();
        Add::new("t".parse().unwrap(), NewMessage::new(Role::User, content))
    }

    fn refused(subject: &str) -> std::result::Result<(), String> {
        Err(subject.to_owned())
    }

    #[test]
    fn content_is_limited_to_the_byte() {
        assert_eq!(check(add(&format!("[\"{}\"]", "x".repeat(36)))), Ok(()));
        assert_eq!(
            check(add(&format!("[\"{}\"]", "x".repeat(37)))),
            refused("41 bytes of content are more than the 40 allowed")
        );
        let update = |text: usize| {
            let change = ContentChange::Append(Delta::text("x".repeat(text)));
            UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, UpdateMode::Partial)
        };
        assert_eq!(check(update(40)), Ok(()));
        assert_eq!(check(update(41)), refused("41 bytes of content are more than the 40 allowed"));
    }

    #[test]
    fn nesting_is_limited_in_content_blocks_and_metadata() {
        assert_eq!(check(add("[[[]]]")), Ok(()));
        let deep = refused("4 levels of nesting in content are more than the 3 allowed");
        assert_eq!(check(add("[[[[]]]]")), deep);
        let blocks = ContentChange::Append(Delta::Blocks(Content::from_json("[[[[]]]]").unwrap()));
        let append =
            UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), blocks, UpdateMode::Partial);
        assert_eq!(check(append), deep);
        let patch = MetadataPatch::new().set("k", &[[[[1]]]]).unwrap();
        assert_eq!(
            check(Update::new("t".parse().unwrap(), "m".parse().unwrap(), patch)),
            refused("4 levels of nesting in metadata are more than the 3 allowed")
        );
    }

    #[test]
    fn metadata_and_attachments_are_limited() {
        let update = |value: &str| {
            let patch = MetadataPatch::new().set("k", value).unwrap();
            Update::new("t".parse().unwrap(), "m".parse().unwrap(), patch)
        };
        assert_eq!(check(update("1234567")), Ok(()));
        assert_eq!(check(update("12345678")), refused("11 bytes of metadata are more than the 10 allowed"));
        let absent = |value: &str| {
            let mut values = Metadata::new();
            values.set("k", value).unwrap();
            Update::setting_absent("t".parse().unwrap(), "m".parse().unwrap(), values)
        };
        assert_eq!(check(absent("1234567")), Ok(()));
        assert_eq!(check(absent("12345678")), refused("11 bytes of metadata are more than the 10 allowed"));
        let mut bounded = absent("1").into();
        LIMITS.bound_growth(&mut bounded);
        assert!(matches!(bounded, PersistArgs::Update(Update { max_metadata_bytes: Some(10), .. })));
        let key = || "a".parse::<AttachmentKey>().unwrap();
        assert_eq!(check(update("").with_attachments([key(), key()])), Ok(()));
        assert_eq!(
            check(update("").with_attachments([key(), key(), key()])),
            refused("3 attachments are more than the 2 allowed")
        );
    }

    #[test]
    fn metadata_of_a_thread_is_limited_like_that_of_a_message() {
        let refused = refused("11 bytes of metadata are more than the 10 allowed");
        let patch = |value: &str| MetadataPatch::new().set("k", value).unwrap();
        let label = |value: &str| LabelThread::new("t".parse().unwrap()).with_metadata(patch(value));
        assert_eq!((check(label("1234567")), check(label("12345678"))), (Ok(()), refused.clone()));
        let create = |value: &str| {
            let mut metadata = Metadata::new();
            metadata.apply(&patch(value));
            CreateThread::new(NewThread::new().with_metadata(metadata))
        };
        assert_eq!((check(create("1234567")), check(create("12345678"))), (Ok(()), refused));
    }

    #[test]
    fn a_batch_is_limited_in_items_and_in_bytes_and_names_the_item() {
        let item = |bytes: usize| add(&format!("[\"{}\"]", "x".repeat(bytes - 4)));
        assert_eq!(check(Batch::new().with(item(40)).with(item(40)).with(item(20))), Ok(()));
        assert_eq!(
            check(Batch::new().with(item(40)).with(item(40)).with(item(21))),
            refused("101 bytes of content and metadata in a batch are more than the 100 allowed")
        );
        let four = (0..4).fold(Batch::new(), |batch, _| batch.with(item(4)));
        assert_eq!(check(four), refused("4 operations in a batch are more than the 3 allowed"));
        let error = LIMITS.check(&Batch::new().with(item(4)).with(item(41)).into()).unwrap_err();
        assert_eq!(error.batch_index(), Some(1));
    }
}
