//! Writes a store again under the present keys, and finds out which keys it is under.

mod cursor;
mod row;
mod walk;

use std::collections::BTreeMap;

pub use self::cursor::RewriteCursor;
use self::{cursor::Stage, walk::Walk};
use super::{EncryptLayer, KeyId};
use throughline_core::{Effect, ErrorKind, PersistError, Persistence, Result};

/// Goes through the threads of a tenant and writes again what is not under the key that would be used now: after a
/// [rotation](super::KeyRing::rotate), after keys of threads were begun with, and after a store in the clear was taken over.
/// Where threads have keys, those are sealed again first, of every tenant.
///
/// It works on pages of messages through the pipeline like any caller, while others read and write:
///
/// - the content of a final message is edited to what it is, if its revision is still the one that was read. So its revision
///   rises by one and it counts as changed now, as after any [edit](throughline_core::messages::UpdateMode::Edit);
/// - metadata is patched with what it is, while no patch of this process comes between: the store compares no revision of
///   metadata, so that **other processes must not patch metadata meanwhile**. Its time of change is now;
/// - a title is renamed to what it is, if it is still that.
///
/// A message that is being written to is left alone and counted. So is one that was abandoned: no operation changes its
/// content any more, and only keys of threads give it another key. What a run failed with and why a consumer passed over a
/// change are not visited at all, nor are threads that no list shows and that did not change while it ran, such as one that
/// was created and never written to: [`visit`](Self::visit) those by name.
///
/// Every process has to write under the new key before it is begun, or what they write meanwhile is left under the old one.
///
/// ```no_run
/// use throughline_core::{Persistence};
/// use throughline_layers::{encrypt::{EncryptLayer, Key}};
///
/// # async fn example(db: Persistence, layer: EncryptLayer, secret: [u8; 32]) -> throughline_core::Result<()> {
/// layer.key_ring().rotate(Key::new("2027".parse()?, &secret))?;
/// let report = layer.rewrite(&db).run().await?;
/// assert_eq!((report.open, report.abandoned), (0, 0));
/// layer.retire(&"2026".parse()?, &[db]).await?; // refused while anything is under it
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rewrite {
    walk: Walk,
}

/// What a [`Rewrite`] has done since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// Keys of threads that were sealed again.
    pub thread_keys: u64,
    /// Messages whose content was written again.
    pub contents: u64,
    /// Messages and threads whose metadata was.
    pub metadata: u64,
    /// Titles that were.
    pub titles: u64,
    /// Messages under another key, or in the clear, that are being written to: for another time.
    pub open: u64,
    /// Messages under another key, or in the clear, that were abandoned, and stay so.
    pub abandoned: u64,
    /// Messages that others were faster to change, again and again: for another time.
    pub overtaken: u64,
    /// Titles, contents and metadata that the store has no room for once they are sealed under the present key, and that
    /// stay as they are.
    pub too_large: u64,
    /// Threads whose key was destroyed.
    pub shredded: u64,
    /// Entries of threads and messages that cannot be read, and stay as they are. The others are seen to.
    pub damaged: u64,
    /// Records of the store of keys that cannot be read, [as it names them](super::thread_keys::Listed::damaged), and stay as they are.
    pub damaged_keys: Vec<String>,
}

impl EncryptLayer {
    /// Makes ready to write again what the tenant of `db` has, which has to be a handle on a pipeline with this layer.
    #[must_use]
    pub fn rewrite(&self, db: &Persistence) -> Rewrite {
        Rewrite { walk: Walk::new(self.clone(), db.clone(), true) }
    }

    /// Under how many cells each key is met in what the tenant of `db` has, keys of threads of every tenant included. Costs a
    /// pass over the store.
    ///
    /// # Errors
    /// What the reads answer; a row that cannot be read is named, and its key is not known.
    pub async fn keys_in_use(&self, db: &Persistence) -> Result<BTreeMap<KeyId, u64>> {
        let mut walk = Walk::new(self.clone(), db.clone(), false);
        while walk.step().await? {}
        Ok(walk.met)
    }

    /// Takes a key out of the ring, once a pass over each of `stores`, one handle for each tenant, has found nothing under it.
    ///
    /// What a [`Rewrite`] does not visit is not looked at here either.
    ///
    /// # Errors
    /// `Conflict` while something is under the key; `Invalid` for the key that is written under and for one that the ring does
    /// not have; what [`keys_in_use`](Self::keys_in_use) answers. The ring is as before then.
    ///
    /// # Cancel safety
    /// Dropping it takes no key away.
    pub async fn retire(&self, key: &KeyId, stores: &[Persistence]) -> Result<()> {
        for db in stores {
            if let Some(cells) = self.keys_in_use(db).await?.get(key) {
                let tenant = db.tenant();
                let detail = format!("{cells} cells of tenant `{tenant}` are under the key `{key}`");
                return Err(PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::NotApplied));
            }
        }
        self.key_ring().remove(key)
    }
}

impl Rewrite {
    /// Goes on where an earlier one was, in another process too.
    #[must_use]
    pub fn resume(mut self, cursor: RewriteCursor) -> Self {
        self.walk.cursor = cursor;
        self
    }

    /// How many messages, threads or keys are looked at in one step: 1 to 1000; 100 unless it is said.
    #[must_use]
    pub fn page(mut self, rows: u32) -> Self {
        self.walk.page = rows.clamp(1, 1000);
        self
    }

    /// How far it is, to be kept and gone on from. What was done after it is then looked at once more, and not done twice.
    #[must_use]
    pub const fn cursor(&self) -> &RewriteCursor {
        &self.walk.cursor
    }

    /// What was done since it was made.
    #[must_use]
    pub const fn report(&self) -> &Rewritten {
        &self.walk.report
    }

    /// One page. Answers whether there is more to do.
    ///
    /// # Errors
    /// What the reads and writes answer. A row that cannot be read is named; the same step can be made again.
    ///
    /// # Cancel safety
    /// Dropping it leaves each row as it was or written again. The step is made again by the next call.
    pub async fn step(&mut self) -> Result<bool> {
        self.walk.step().await
    }

    /// All that is left, and what was done.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn run(&mut self) -> Result<Rewritten> {
        while self.step().await? {}
        Ok(self.walk.report.clone())
    }

    /// One thread, shown in lists or not.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn visit(&mut self, thread: &throughline_core::ThreadId) -> Result<Rewritten> {
        let before = std::mem::take(&mut self.walk.cursor.stage);
        self.walk.cursor.stage = Stage::Visit;
        self.walk.cursor.queue.push(thread.clone());
        let done = self.run().await;
        self.walk.cursor.stage = before;
        done
    }
}
