//! Applies row images to the stored rows.

use throughline_core::{
    Result,
    replication::{Image, ImagePart},
};
use throughline_engine::{Limits, Transaction, rows::ThreadKey};

use crate::{commit::decided, store::Store};

impl Store {
    /// Applies images in order.
    pub(super) fn put(&mut self, images: Vec<Image>) -> Result<()> {
        for image in images {
            let is_new = self.is_new(&image);
            let mut transaction =
                Transaction::new(&*self, Limits::default()).with_indexed_metadata(self.index.names.clone());
            decided(transaction.put_image(&image, is_new))?;
            let (_, staged) = transaction.into_parts();
            self.commit(staged);
            match image.part {
                ImagePart::Change(change) => self.journal.append_copied(*change),
                ImagePart::Audit(entry) => self.audit.append_copied(*entry),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an image is an alias that the thread lacks.
    fn is_new(&self, image: &Image) -> bool {
        let ImagePart::Name(alias) = &image.part else { return false };
        let thread = self.thread_of(&ThreadKey::new(&image.tenant, &alias.thread));
        let mut known = thread.into_iter().flat_map(|thread| thread.aliases.values());
        !known.any(|(generation, known)| (*generation, known) == (alias.generation, &alias.known))
    }
}
