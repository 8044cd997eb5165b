//! Re-encrypts a store under the current keys, and reports the keys that are in use.

mod cursor;
mod row;
mod walk;

use std::collections::BTreeMap;

pub use self::cursor::RewriteCursor;
use self::{cursor::Stage, walk::Walk};
use super::{EncryptLayer, KeyId};
use throughline_core::{Effect, ErrorKind, PersistError, Persistence, Result};

/// Re-encrypts the data of a tenant that is not under the current key: after a [rotation](super::KeyRing::rotate),
/// after thread keys were added, and after a store in plaintext was taken over. With thread keys it first re-encrypts
/// those, for all tenants.
///
/// It reads pages of messages through the pipeline like any caller, while others read and write:
///
/// - It edits a final message to its own content, if the revision is still the one that it read. The revision rises by
///   one and the time of change is now, as after any [edit](throughline_core::messages::UpdateMode::Edit).
/// - It patches metadata with its own values, and no patch of this process runs meanwhile. The store compares no
///   revision of metadata, so **other processes must not patch metadata meanwhile**. The time of change is now.
/// - It renames a thread to its own title, if the title is unchanged.
///
/// It skips and counts open messages. It also skips abandoned messages: no operation changes their content, and only
/// thread keys give them another key. It does not visit the errors of failed runs, the reasons for quarantined changes,
/// or hidden threads that did not change during the pass, such as a thread that was created and never written to.
/// [`visit`](Self::visit) processes such a thread by name.
///
/// Every process must encrypt with the new key before the pass starts, or later writes stay under the old key.
///
/// ```no_run
/// use throughline_core::{Persistence};
/// use throughline_layers::{encrypt::{EncryptLayer, Key}};
///
/// # async fn example(db: Persistence, layer: EncryptLayer, secret: [u8; 32]) -> throughline_core::Result<()> {
/// layer.key_ring().rotate(Key::new("2027".parse()?, &secret))?;
/// let report = layer.rewrite(&db).run().await?;
/// assert_eq!((report.open, report.abandoned), (0, 0));
/// layer.retire(&"2026".parse()?, &[db]).await?; // refused while data is under the key
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rewrite {
    walk: Walk,
}

/// The work of a [`Rewrite`] since it was created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// Thread keys that were re-encrypted.
    pub thread_keys: u64,
    /// Messages whose content was re-encrypted.
    pub contents: u64,
    /// Messages and threads whose metadata was re-encrypted.
    pub metadata: u64,
    /// Titles that were re-encrypted.
    pub titles: u64,
    /// Open messages under another key, or in plaintext: for a later pass.
    pub open: u64,
    /// Abandoned messages under another key, or in plaintext, which stay so.
    pub abandoned: u64,
    /// Messages that other writers changed during each attempt: for a later pass.
    pub overtaken: u64,
    /// Titles, contents and metadata that would exceed a limit of the store under the current key, and that stay
    /// unchanged.
    pub too_large: u64,
    /// Threads whose key was destroyed.
    pub shredded: u64,
    /// Threads and messages that cannot be read, and stay unchanged. The pass continues with the others.
    pub damaged: u64,
    /// Key records that cannot be read, [by the names of their store](super::thread_keys::Listed::damaged), and that
    /// stay unchanged.
    pub damaged_keys: Vec<String>,
}

impl EncryptLayer {
    /// Prepares the re-encryption of the data of `db`'s tenant. `db` must be a handle of a pipeline with this layer.
    #[must_use]
    pub fn rewrite(&self, db: &Persistence) -> Rewrite {
        Rewrite { walk: Walk::new(self.clone(), db.clone(), true) }
    }

    /// Returns the number of ciphertexts under each key in the data of `db`'s tenant, including the thread keys of all
    /// tenants. It reads the whole store.
    ///
    /// # Errors
    /// The errors of the reads. An unreadable row is an error that names the row, because its key is unknown.
    pub async fn keys_in_use(&self, db: &Persistence) -> Result<BTreeMap<KeyId, u64>> {
        let mut walk = Walk::new(self.clone(), db.clone(), false);
        while walk.step().await? {}
        Ok(walk.met)
    }

    /// Removes a key from the key ring, after it has read each of `stores` and found no data under it. `stores` needs one
    /// handle for each tenant.
    ///
    /// The pass does not check data that a [`Rewrite`] does not visit.
    ///
    /// # Errors
    /// `Conflict` while data is under the key; `Invalid` for the key that encrypts and for a key that the key ring does not
    /// have; the errors of [`keys_in_use`](Self::keys_in_use). After an error the key ring is unchanged.
    ///
    /// # Cancel safety
    /// A dropped call removes no key.
    pub async fn retire(&self, key: &KeyId, stores: &[Persistence]) -> Result<()> {
        for db in stores {
            if let Some(ciphertexts) = self.keys_in_use(db).await?.get(key) {
                let tenant = db.tenant();
                let detail =
                    format!("{ciphertexts} ciphertexts of tenant `{tenant}` are under the key `{key}`");
                return Err(PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::NotApplied));
            }
        }
        self.key_ring().remove(key)
    }
}

impl Rewrite {
    /// Continues at the cursor of an earlier pass, also of another process.
    #[must_use]
    pub fn resume(mut self, cursor: RewriteCursor) -> Self {
        self.walk.cursor = cursor;
        self
    }

    /// Sets the number of messages, threads or keys of one step: 1 to 1000; the default is 100.
    #[must_use]
    pub fn page(mut self, rows: u32) -> Self {
        self.walk.page = rows.clamp(1, 1000);
        self
    }

    /// Returns the progress, which the host can keep to resume the pass. A resumed pass checks later work again, but
    /// does not repeat it.
    #[must_use]
    pub const fn cursor(&self) -> &RewriteCursor {
        &self.walk.cursor
    }

    /// Returns the work since this value was created.
    #[must_use]
    pub const fn report(&self) -> &Rewritten {
        &self.walk.report
    }

    /// Processes one page. Returns true while there is more to do.
    ///
    /// # Errors
    /// The errors of the reads and writes. An error names an unreadable row; the caller can repeat the step.
    ///
    /// # Cancel safety
    /// A dropped step leaves each row either unchanged or re-encrypted. The next call repeats the step.
    pub async fn step(&mut self) -> Result<bool> {
        self.walk.step().await
    }

    /// Processes all that is left, and returns the report.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn run(&mut self) -> Result<Rewritten> {
        while self.step().await? {}
        Ok(self.walk.report.clone())
    }

    /// Processes one thread, in lists or hidden.
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
