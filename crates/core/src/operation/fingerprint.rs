//! The fingerprint of an operation: the hash that an idempotency key is compared by.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PersistArgs;
use crate::{MessageId, operation::ThreadArgs};

/// A keyed hash of an operation as the caller sent it, without generated ids.
///
/// The pipeline computes it before the first layer, because a layer that encrypts with a random nonce would otherwise turn every
/// replay into a conflict. The hash is keyed, because a reader of the store could test guesses of redacted content against a
/// plain hash.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint with these bytes, as a store keeps them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the fingerprint, for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// The secret key of [`Fingerprint`]s. All processes that share a store must share it.
///
/// A store generates a random key with its first file or schema, and returns it from
/// [`Backend::fingerprint_key`](crate::Backend::fingerprint_key). A host can set its own key with
/// [`Builder::fingerprint_secret`](crate::Builder::fingerprint_secret), which no store keeps.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FingerprintKey([u8; 32]);

impl FingerprintKey {
    /// Returns the key with these bytes, as a store keeps them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key. Keep them where a reader of the idempotency keys has no access.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Generates a random key from the operating system.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the operating system has no random bytes.
    pub fn generate() -> crate::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| {
            let detail = format!(
                "generating a fingerprint key failed: the operating system has no random bytes ({error})"
            );
            crate::PersistError::new(crate::ErrorKind::Unavailable, detail)
                .with_effect(crate::Effect::NotApplied)
        })?;
        Ok(Self(bytes))
    }

    /// Derives the key from a secret of any length.
    pub(crate) fn derive(secret: &[u8]) -> Self {
        Self(blake3::derive_key("throughline 2026 idempotency fingerprint", secret))
    }

    /// Returns the fingerprint of `args`.
    pub(crate) fn fingerprint(&self, args: &PersistArgs) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let written = match without_minted_ids(args) {
            Some(args) => serde_json::to_writer(&mut hasher, &args),
            None => serde_json::to_writer(&mut hasher, args),
        };
        written.expect("operations serialize into memory");
        Fingerprint(*hasher.finalize().as_bytes())
    }
}

impl Default for FingerprintKey {
    fn default() -> Self {
        Self::derive(&[])
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// Returns a copy in which each generated id is replaced by its index, in every field. `None` if there is no generated id.
fn without_minted_ids(args: &PersistArgs) -> Option<PersistArgs> {
    let made_up = |args: &PersistArgs| match args {
        // The fresh id does not identify the message, and each call generates another one.
        PersistArgs::Thread(ThreadArgs::Resolve(asked)) => Some(asked.fresh.clone()),
        args => args.facts().minted_id.cloned(),
    };
    let minted: Vec<MessageId> = args.each().filter_map(made_up).collect();
    if minted.is_empty() {
        return None;
    }
    let mut args = args.clone();
    let items = match &mut args {
        PersistArgs::Batch(batch) => batch.items.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    fn id_of(args: &mut PersistArgs) -> Option<&mut MessageId> {
        match args {
            PersistArgs::Thread(ThreadArgs::Resolve(asked)) => Some(&mut asked.fresh),
            args => args.message_mut(),
        }
    }
    for id in items.iter_mut().filter_map(id_of) {
        if let Some(number) = minted.iter().position(|minted| minted == id) {
            *id = MessageId::new(format!("minted {number}")).expect("a valid id");
        }
    }
    Some(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Metadata, NewMessage, NewReservation, Role,
        operation::{Add, Batch, Delete, Origin, Reserve, ResolveId},
    };

    fn add(text: &str) -> PersistArgs {
        Add::new("t".parse().unwrap(), NewMessage::user(text)).into()
    }

    #[test]
    fn minted_ids_do_not_count_and_given_ones_do() {
        let key = FingerprintKey::default();
        assert_eq!(key.fingerprint(&add("a")), key.fingerprint(&add("a")));
        assert_ne!(key.fingerprint(&add("a")), key.fingerprint(&add("b")));
        let given = |id: &str| -> PersistArgs {
            let message = NewMessage::user("a").with_id(id.parse().unwrap());
            Add::new("t".parse().unwrap(), message).into()
        };
        assert_ne!(key.fingerprint(&given("x")), key.fingerprint(&given("y")));
        assert_ne!(key.fingerprint(&given("minted 0")), key.fingerprint(&add("a")));
        let reserve = || Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
        let batch = |text| PersistArgs::from(Batch::new().with(add(text)).with(reserve()));
        assert_eq!(key.fingerprint(&batch("a")), key.fingerprint(&batch("a")));
        assert_ne!(key.fingerprint(&batch("a")), key.fingerprint(&batch("b")));
    }

    #[test]
    fn the_id_for_a_message_that_is_not_there_does_not_count() {
        let key = FingerprintKey::default();
        let asked = |turn: &str| -> PersistArgs {
            let origin = Origin::new().in_turn(turn.parse().unwrap());
            ThreadArgs::from(ResolveId::new("t".parse().unwrap(), origin)).into()
        };
        assert_eq!(key.fingerprint(&asked("a")), key.fingerprint(&asked("a")));
        assert_ne!(key.fingerprint(&asked("a")), key.fingerprint(&asked("b")));
    }

    #[test]
    fn a_minted_id_is_the_same_one_wherever_the_batch_says_it() {
        let key = FingerprintKey::default();
        let batch = |about: usize| {
            let adds = [(); 2].map(|()| Add::new("t".parse().unwrap(), NewMessage::user("a")));
            let delete = Delete::new("t".parse().unwrap(), adds[about].id.clone());
            let [first, second] = adds;
            key.fingerprint(&Batch::new().with(first).with(second).with(delete).into())
        };
        assert_eq!(batch(0), batch(0));
        assert_ne!(batch(0), batch(1));
    }

    #[test]
    fn metadata_counts_and_the_key_separates() {
        let mut metadata = Metadata::new();
        metadata.set("a", &1).unwrap();
        let other = Add::new("t".parse().unwrap(), NewMessage::user("a").with_metadata(metadata)).into();
        let key = FingerprintKey::default();
        assert_ne!(key.fingerprint(&other), key.fingerprint(&add("a")));
        assert_ne!(key.fingerprint(&add("a")), FingerprintKey::derive(b"s").fingerprint(&add("a")));
    }
}
