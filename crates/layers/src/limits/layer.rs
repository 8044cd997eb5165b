use tower_layer::Layer;

use super::LimitsService;
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Refuses calls beyond its limits. See the [module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsLayer {
    pub(super) content_bytes: usize,
    pub(super) metadata_bytes: usize,
    pub(super) depth: usize,
    pub(super) attachments: usize,
    pub(super) batch_items: usize,
    pub(super) batch_bytes: usize,
}

impl LimitsLayer {
    /// Creates the layer with the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            content_bytes: 8 << 20,
            metadata_bytes: 256 << 10,
            depth: 64,
            attachments: 256,
            batch_items: 512,
            batch_bytes: 16 << 20,
        }
    }

    /// Sets the most bytes of one content, of one delta, and of a content that grows by appends.
    #[must_use]
    pub const fn content_bytes(mut self, bytes: usize) -> Self {
        self.content_bytes = bytes;
        self
    }

    /// Sets the most bytes of the metadata of one message or thread, names and values, also after patches.
    #[must_use]
    pub const fn metadata_bytes(mut self, bytes: usize) -> Self {
        self.metadata_bytes = bytes;
        self
    }

    /// Sets the deepest nesting of arrays and objects.
    #[must_use]
    pub const fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Sets the most attachment names of one message.
    #[must_use]
    pub const fn attachments(mut self, attachments: usize) -> Self {
        self.attachments = attachments;
        self
    }

    /// Sets the most operations of one batch, and rows of one import.
    #[must_use]
    pub const fn batch_items(mut self, items: usize) -> Self {
        self.batch_items = items;
        self
    }

    /// Sets the most bytes of content and metadata in one batch or import, and of stored data in the answers of a
    /// batch.
    #[must_use]
    pub const fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }
}

impl Default for LimitsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Described for LimitsLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("limits", Phase::Admit).with_rank(10)
    }
}

impl<S> Layer<S> for LimitsLayer {
    type Service = LimitsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitsService::new(inner, *self)
    }
}
