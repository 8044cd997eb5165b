use std::fmt;

use super::{Phase, SiteSpec};
use crate::Capabilities;

/// The resolved stack of a pipeline, from the outermost layer to the backend.
///
/// Its `Display` is a table with one line for each site:
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
    /// The phase of a layer. `None` for the backend.
    pub phase: Option<Phase>,
    /// The remark of the layer for a reader of the description.
    pub remark: Option<String>,
}

impl Description {
    pub(crate) fn new(layers: &[SiteSpec], backend: &str, capabilities: Capabilities) -> Self {
        let layer = |spec: &SiteSpec| DescribedSite {
            name: spec.name.to_string(),
            phase: Some(spec.phase),
            remark: spec.remark.as_ref().map(ToString::to_string),
        };
        let mut sites: Vec<_> = layers.iter().map(layer).collect();
        sites.push(DescribedSite { name: backend.to_owned(), phase: None, remark: None });
        Self { sites, capabilities }
    }

    /// The sites from the outermost layer to the backend.
    #[must_use]
    pub fn sites(&self) -> &[DescribedSite] {
        &self.sites
    }

    /// The names of the sites from the outermost layer to the backend.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| site.name.as_str())
    }

    /// The operations and guarantees of the backend.
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
                    if let Some(remark) = &site.remark {
                        // Aligned with the operations of the backend.
                        write!(f, "{:gap$}{remark}", "", gap = 11 - phase.to_string().len())?;
                    }
                    writeln!(f)?;
                }
                None => write!(f, "{:width$}   backend    {}", site.name, self.capabilities)?,
            }
        }
        Ok(())
    }
}
