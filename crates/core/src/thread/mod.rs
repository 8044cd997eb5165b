//! Threads: the summary of a conversation, and its values.
//!
//! ```
//! use throughline_core::{Labels, Title};
//!
//! let title: Title = "Trip to Lisbon".parse()?;
//! let labels = Labels::new().with("project", "atlas")?;
//! assert!(!title.is_untitled() && labels.get("project").is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod labels;
mod order;
mod summary;

pub use self::{
    labels::{LabelPatch, Labels},
    order::{ThreadCursor, ThreadOrder},
    summary::{ForkPoint, Keep, ThreadSummary},
};
