//! Stubs for systems other than Linux.

use std::{convert::Infallible, io, path::Path};

use super::Refusal;

fn refusal() -> Refusal {
    Refusal("it is done on Linux only".to_owned())
}

/// A disk in memory; not available on this system.
#[derive(Debug)]
pub struct Tmpfs(Infallible);

impl Tmpfs {
    /// Always fails.
    ///
    /// # Errors
    /// Always.
    pub fn mount(_: u64) -> Result<Self, Refusal> {
        Err(refusal())
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.0 {}
    }
}

/// A disk with ext4 in a file; not available on this system.
#[derive(Debug)]
pub struct Ext4(Infallible);

macro_rules! nothing {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// Returns the error of the kernel.
        pub fn $name(&self) -> io::Result<()> {
            match self.0 {}
        })+
    };
}

impl Ext4 {
    /// Always fails.
    ///
    /// # Errors
    /// Always.
    pub fn mount(_: u64, _: u32) -> Result<Self, Refusal> {
        Err(refusal())
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    nothing! {
        /// Simulates a loss of power.
        shut_down;
        /// Unmounts it and mounts it again.
        mount_again;
        /// Mounts it read-only.
        forbid_writing;
        /// Mounts it writable again.
        allow_writing;
        /// Makes it read-only while files are open for writing.
        abort;
    }
}
