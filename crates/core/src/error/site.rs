use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a layer or a backend, unique in its pipeline.
pub type SiteName = Arc<str>;

/// The part of a pipeline that an error comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Site {
    /// The edge: admission, validation, and the deadline before the first layer.
    Edge,
    /// A layer, by name. In a pipeline inside another one, `outer/inner`.
    Layer(SiteName),
    /// The backend, by name. In a pipeline inside another one, `outer/inner`.
    Backend(SiteName),
}

impl Site {
    /// The name of the layer or backend, or `"edge"`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Edge => "edge",
            Self::Layer(name) | Self::Backend(name) => name,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge => f.write_str("the edge"),
            Self::Layer(name) => write!(f, "layer `{name}`"),
            Self::Backend(name) => write!(f, "backend `{name}`"),
        }
    }
}
