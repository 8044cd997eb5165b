/// What a tenant stores and may store, as the host counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// What there is of it, in bytes.
    pub used: u64,
    /// What there may be of it, in bytes.
    pub allowed: u64,
}
