//! Where there is no Linux.

use std::{convert::Infallible, io, path::Path};

use super::Refusal;

fn refusal() -> Refusal {
    Refusal("it is done on Linux only".to_owned())
}

/// A disk in memory: there is none here.
#[derive(Debug)]
pub struct Tmpfs(Infallible);

impl Tmpfs {
    /// Of so many bytes.
    ///
    /// # Errors
    /// Always.
    pub fn mount(_: u64) -> Result<Self, Refusal> {
        Err(refusal())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.0 {}
    }
}

/// A disk with ext4 on it, in a file: there is none here.
#[derive(Debug)]
pub struct Ext4(Infallible);

macro_rules! nothing {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// What the kernel answers.
        pub fn $name(&self) -> io::Result<()> {
            match self.0 {}
        })+
    };
}

impl Ext4 {
    /// Of so many bytes, in blocks of so many.
    ///
    /// # Errors
    /// Always.
    pub fn mount(_: u64, _: u32) -> Result<Self, Refusal> {
        Err(refusal())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    nothing! {
        /// Takes its power away.
        shut_down;
        /// Unmounts it and mounts it again.
        mount_again;
        /// Mounts it read-only.
        forbid_writing;
        /// Mounts it for writing again.
        allow_writing;
        /// Makes it read-only under those who write on it.
        abort;
    }
}
