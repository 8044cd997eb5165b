use std::fmt;

use super::{Phase, SiteSpec};
use crate::Capabilities;

/// The resolved chain of a pipeline, from the outside in.
///
/// Its `Display` is a table, one line a site:
///
/// ```text
/// limits   Admit
/// trace    Observe
/// sqlite   backend    survives power loss, several processes, idempotency keys, changes, audit, every operation
/// ```
#[derive(Debug, Clone)]
pub struct Description {
    sites: Vec<DescribedSite>,
    capabilities: Capabilities,
}

/// One line of a [`Description`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedSite {
    /// The unique name.
    pub name: String,
    /// The phase of a layer; nothing for the backend.
    pub phase: Option<Phase>,
    /// What a reader has to know of it, where it says something.
    pub note: Option<String>,
}

impl Description {
    pub(crate) fn new(layers: &[SiteSpec], backend: &str, capabilities: Capabilities) -> Self {
        let layer = |spec: &SiteSpec| DescribedSite {
            name: spec.name.to_string(),
            phase: Some(spec.phase),
            note: spec.note.as_ref().map(ToString::to_string),
        };
        let mut sites: Vec<_> = layers.iter().map(layer).collect();
        sites.push(DescribedSite { name: backend.to_owned(), phase: None, note: None });
        Self { sites, capabilities }
    }

    /// The sites from the outside in; the backend is the last.
    #[must_use]
    pub fn sites(&self) -> &[DescribedSite] {
        &self.sites
    }

    /// Their names from the outside in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| site.name.as_str())
    }

    /// What the backend does and promises.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names().map(|name| name.chars().count()).max().unwrap_or(0);
        for site in &self.sites {
            match site.phase {
                Some(phase) => {
                    write!(f, "{:width$}   {phase}", site.name)?;
                    if let Some(note) = &site.note {
                        // As far in as what a backend can do.
                        write!(f, "{:gap$}{note}", "", gap = 11 - phase.to_string().len())?;
                    }
                    writeln!(f)?;
                }
                None => write!(f, "{:width$}   backend    {}", site.name, self.capabilities)?,
            }
        }
        Ok(())
    }
}
