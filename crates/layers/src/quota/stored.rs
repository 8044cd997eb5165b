/// The stored bytes of a tenant and their limit, as the host counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The stored bytes.
    pub used: u64,
    /// The most stored bytes.
    pub allowed: u64,
}
