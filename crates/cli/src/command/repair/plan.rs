//! The plan of a repair.

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};
use throughline::{MessageId, Persistence, Revision, TenantId, ThreadId, messages::ListOpen, sqlite::Part};

use super::applied::Applied;
use crate::{
    Exit, Failure,
    command::{
        pages::Tenants,
        planned_items::PlannedItems,
        verify::{DamagedPart, Verified},
    },
    output::{GOOD, Output, count, line},
};

/// The expired replies that a plan names; it counts the others.
const NAMED: usize = 1000;
/// The replies of one read.
const PAGE: u32 = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    /// The threads whose summary is rebuilt.
    pub(super) summaries: BTreeSet<OfThread>,
    /// The replies that are abandoned.
    pub(super) expired_replies: u64,
    /// The first of them.
    expired: Vec<OfMessage>,
    /// Whether a page or an index of the file is damaged.
    damaged_file: bool,
    /// The path of the copy. With it nothing of the store itself is repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rebuild_into: Option<String>,
    /// Whether the verification found no damage at all.
    #[serde(skip)]
    was_sound: bool,
    /// The damage that this command does not repair.
    other_damage: u64,
    applied: bool,
    /// The work that was done; `None` without `--apply`.
    #[serde(flatten)]
    pub(super) done: Option<Applied>,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OfThread {
    pub(super) tenant: TenantId,
    pub(super) thread: ThreadId,
}

#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct OfMessage {
    tenant: TenantId,
    thread: ThreadId,
    message: MessageId,
}

/// A reply whose lease has expired, as it was when the plan was made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Expired {
    pub(super) tenant: TenantId,
    pub(super) thread: ThreadId,
    pub(super) message: MessageId,
    pub(super) revision: Revision,
}

impl Plan {
    pub(super) fn of(found: &Verified, rebuild_into: Option<&Path>) -> Self {
        let mut plan = Self {
            summaries: BTreeSet::new(),
            expired_replies: 0,
            expired: Vec::new(),
            damaged_file: false,
            rebuild_into: rebuild_into.map(|path| path.to_string_lossy().into_owned()),
            was_sound: found.sound,
            other_damage: found.not_listed(),
            applied: false,
            done: None,
        };
        for DamagedPart { part, tenant, thread, .. } in &found.damaged {
            match (part, tenant, thread) {
                (Part::Thread | Part::Summary, Some(tenant), Some(thread)) => {
                    if plan.rebuild_into.is_none() {
                        let of = OfThread { tenant: tenant.clone(), thread: thread.clone() };
                        plan.summaries.insert(of);
                    }
                }
                (Part::File | Part::MetadataIndex, ..) => plan.damaged_file = true,
                _ => plan.other_damage += 1,
            }
        }
        plan
    }

    /// Lists the expired replies of every tenant, a page at a time, and keeps them for `--apply`.
    pub(super) async fn find_expired(
        &mut self,
        db: &Persistence,
        mut planned: Option<&mut PlannedItems<Expired>>,
    ) -> Result<(), Failure> {
        let mut tenants = Tenants::of(db);
        while let Some(tenant) = tenants.next().await? {
            let db = db.for_tenant(tenant.clone());
            let mut list = ListOpen::new(PAGE).expired_only();
            loop {
                let open = db.read(list.clone()).await?;
                for message in open.messages {
                    let (thread, id) = (message.thread, message.id);
                    self.expired_replies += 1;
                    if self.expired.len() < NAMED {
                        let (tenant, thread, message) = (tenant.clone(), thread.clone(), id.clone());
                        self.expired.push(OfMessage { tenant, thread, message });
                    }
                    if let Some(planned) = planned.as_mut() {
                        let (tenant, revision) = (tenant.clone(), message.revision);
                        planned.push(&Expired { tenant, thread, message: id, revision })?;
                    }
                }
                match open.next {
                    Some(next) => list.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, done: Applied) {
        self.applied = true;
        self.done = Some(done);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.summaries.is_empty() && self.expired_replies == 0 && self.rebuild_into.is_none()
    }

    /// The exit code of the plan alone.
    pub(super) const fn exit(&self) -> Exit {
        if self.was_sound && self.expired_replies == 0 { Exit::Done } else { Exit::Findings }
    }

    pub(super) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        for OfThread { tenant, thread } in &self.summaries {
            let (tenant, thread) = (line(tenant.as_str()), line(thread.as_str()));
            output.sentence(format_args!("rebuild the summary of thread `{thread}` of tenant `{tenant}`"))?;
        }
        for OfMessage { tenant, thread, message } in &self.expired {
            let (tenant, thread) = (line(tenant.as_str()), line(thread.as_str()));
            output.sentence(format_args!(
                "abandon reply `{}` in thread `{thread}` of tenant `{tenant}`: its lease has expired; its text stays",
                line(message.as_str())
            ))?;
        }
        let unnamed = self.expired_replies - self.expired.len() as u64;
        if unnamed > 0 {
            output.line(format_args!("abandon {unnamed} more expired replies"))?;
        }
        match &self.rebuild_into {
            Some(into) => output.sentence(format_args!(
                "copy every row to the new file {}, with new indexes",
                line(into)
            ))?,
            None if self.damaged_file => output.sentence(
                "A page or an index of the file is damaged. --rebuild-into FILE copies the rows to a new file, with new indexes.",
            )?,
            None => {}
        }
        if self.other_damage > 0 {
            output.sentence(format_args!(
                "{} cannot be repaired here: restore the rows from a backup. `throughline verify` names each of them.",
                count(self.other_damage, "damaged part")
            ))?;
        }
        if self.is_empty() && self.was_sound {
            output.line(format_args!("{GOOD}Nothing to repair.{GOOD:#}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use throughline::{
        Delta, MessageState, NewReservation, Role, Timestamp,
        memory::MemoryBackend,
        messages::{ContentChange, Reserve, UpdateContent, UpdateMode},
        pipeline::Clock,
    };

    use super::*;

    /// A clock that a test sets, in seconds.
    #[derive(Debug)]
    struct Seconds(&'static AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Relaxed) * 1_000_000)
        }
    }

    #[tokio::test]
    async fn a_reply_that_expires_after_the_plan_is_not_abandoned() {
        static NOW: AtomicI64 = AtomicI64::new(0);
        let db = Persistence::builder().clock(Seconds(&NOW)).backend(MemoryBackend::new()).build().unwrap();
        let reserve = async |id: &str| {
            let reservation = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
            db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        };
        let append = async |id: &str| {
            let change = ContentChange::Append(Delta::text("x"));
            let update =
                UpdateContent::new("t".parse().unwrap(), id.parse().unwrap(), change, UpdateMode::Partial);
            db.run(update).await.unwrap();
        };
        for id in ["left", "continued", "finished"] {
            reserve(id).await;
        }
        NOW.store(1_000_000, Relaxed);
        reserve("late").await;
        let mut planned = PlannedItems::new().unwrap();
        let mut plan = Plan::of(&Verified::of(Default::default()), None);
        plan.find_expired(&db, Some(&mut planned)).await.unwrap();
        assert_eq!(plan.expired_replies, 3);
        let named: Vec<&str> = plan.expired.iter().map(|expired| expired.message.as_str()).collect();
        assert_eq!(named, ["left", "continued", "finished"]);

        append("continued").await;
        let change = ContentChange::none();
        let finish =
            UpdateContent::new("t".parse().unwrap(), "finished".parse().unwrap(), change, UpdateMode::Final);
        db.run(finish).await.unwrap();
        // From here on all leases have expired, that of `late` too.
        NOW.store(2_000_000, Relaxed);
        assert_eq!(Applied::abandon(&db, planned).await.unwrap(), 1);
        let state = async |id: &str| db.thread("t").get(id.parse().unwrap()).await.unwrap().unwrap().state;
        assert_eq!(state("left").await, MessageState::Abandoned);
        assert_eq!(state("continued").await, MessageState::Streaming);
        assert_eq!(state("finished").await, MessageState::Final);
        assert_eq!(state("late").await, MessageState::Reserved);
    }
}
