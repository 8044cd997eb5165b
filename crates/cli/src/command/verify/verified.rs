//! The result of a verification, as text and as JSON.

use serde::{Serialize, Serializer};
use throughline::{
    MessageId, TenantId, ThreadId,
    sqlite::{Damage, Part, Verification},
};

use crate::{
    Exit, Failure,
    output::{BAD, Output, count, line},
};

/// A verification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verified {
    pub(crate) sound: bool,
    /// The way in which the rows were read.
    pub(super) method: Method,
    pub(super) checked: Checked,
    pub(crate) damaged: Vec<DamagedPart>,
    /// The damage beyond the list.
    pub(super) not_listed: u64,
}

/// The way in which rows are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Method {
    /// Every page, index and row of a file.
    File,
    /// The threads, messages and audit records that reads return.
    Reads,
}

/// The checked rows. Those without a number are not checked.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    pub(super) messages: u64,
    pub(super) threads: u64,
    pub(super) audit_entries: u64,
    #[serde(flatten)]
    pub(super) of_file: Option<CheckedOfFile>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckedOfFile {
    tombstones: u64,
    chunks: u64,
    /// The contents in files of their own.
    blobs: u64,
    /// The files of contents that no message has.
    orphans: u64,
    idempotency_keys: u64,
    aliases: u64,
    pub(super) changes: u64,
    consumers: u64,
    sessions: u64,
    attempts: u64,
}

/// A damaged row, or a damaged page of a file.
#[derive(Serialize)]
pub(crate) struct DamagedPart {
    #[serde(serialize_with = "lower_case")]
    pub(crate) part: Part,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) message: Option<MessageId>,
    pub(crate) reason: String,
}

fn lower_case<S: Serializer>(part: &Part, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name(*part))
}

fn name(part: Part) -> String {
    format!("{part:?}").to_lowercase()
}

impl Verified {
    /// The verification of a file.
    pub(crate) fn of(found: Verification) -> Self {
        let checked = Checked {
            messages: found.messages,
            threads: found.threads,
            audit_entries: found.audit,
            of_file: Some(CheckedOfFile {
                tombstones: found.deleted,
                chunks: found.chunks,
                blobs: found.blobs,
                orphans: found.orphans.len() as u64,
                idempotency_keys: found.keys,
                aliases: found.aliases,
                changes: found.changes,
                consumers: found.consumers,
                sessions: found.sessions,
                attempts: found.attempts,
            }),
        };
        let part = |Damage { part, tenant, thread, message, reason, .. }| DamagedPart {
            part,
            tenant,
            thread,
            message,
            reason,
        };
        let damaged: Vec<DamagedPart> = found.damaged.into_iter().map(part).collect();
        Self { sound: damaged.is_empty(), method: Method::File, checked, damaged, not_listed: 0 }
    }

    /// A file whose damage keeps it from being opened.
    pub(super) fn unreadable(reason: String) -> Self {
        let damage = DamagedPart { part: Part::File, tenant: None, thread: None, message: None, reason };
        Self { damaged: vec![damage], sound: false, ..Self::of(Verification::default()) }
    }

    pub(crate) const fn exit(&self) -> Exit {
        if self.sound { Exit::Done } else { Exit::Findings }
    }

    /// The damage beyond the list.
    pub(crate) const fn not_listed(&self) -> u64 {
        self.not_listed
    }

    /// The number of damaged rows and pages.
    pub(super) const fn damage_count(&self) -> u64 {
        self.damaged.len() as u64 + self.not_listed
    }

    /// Writes the damage, each row on its own lines.
    pub(crate) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        for DamagedPart { part, tenant, thread, message, reason } in &self.damaged {
            let mut text = format!("{BAD}damaged {}{BAD:#}:", name(*part));
            for (name, value) in [
                ("tenant", tenant.as_ref().map(TenantId::as_str)),
                ("thread", thread.as_ref().map(ThreadId::as_str)),
                ("message", message.as_ref().map(MessageId::as_str)),
            ] {
                if let Some(value) = value {
                    text.push_str(&format!(" {name} `{}`,", line(value)));
                }
            }
            output.sentence(format_args!("{text} {}", line(reason)))?;
        }
        if self.not_listed > 0 {
            output.line(format_args!("and {} more", count(self.not_listed, "damaged row")))?;
        }
        Ok(())
    }
}
