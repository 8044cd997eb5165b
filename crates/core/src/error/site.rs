use std::{fmt, sync::Arc};

/// The name of a layer or a backend, unique in its pipeline.
pub type SiteName = Arc<str>;

/// Where in a pipeline an error comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Site {
    /// The edge: admission, checks of the call, the deadline before anything ran.
    Edge,
    /// A layer, by its name; in a pipeline inside another, `outer/inner`.
    Layer(SiteName),
    /// The backend, by its name; in a pipeline inside another, `outer/inner`.
    Backend(SiteName),
}

impl Site {
    /// Its name; `"edge"` for the edge.
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
