//! File systems for tests: small ones that fill up, and ones that lose their power.
//!
//! Only the thread that mounts them sees them, and the threads and processes that it starts afterwards. So a test
//! mounts them before it starts a runtime. They are unmounted when they are dropped or the process ends.
//!
//! If the machine does not permit mounts, the test is [`skipped`](crate::skipped):
//!
//! ```
//! use throughline_reliability::{mount::Tmpfs, skipped};
//!
//! let small = match Tmpfs::mount(1 << 20) {
//!     Ok(small) => small,
//!     Err(why) => return skipped("a full disk", &why.to_string()),
//! };
//! assert!(std::fs::write(small.path().join("large"), vec![1; 2 << 20]).is_err());
//! ```

mod ballast;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod ext4;
#[cfg(target_os = "linux")]
mod loop_device;
#[cfg(target_os = "linux")]
mod point;
#[cfg(target_os = "linux")]
mod tmpfs;

use std::{fmt, io};

pub use self::ballast::{Ballast, free};
#[cfg(not(target_os = "linux"))]
pub use self::elsewhere::{Ext4, Tmpfs};
#[cfg(target_os = "linux")]
pub use self::{ext4::Ext4, tmpfs::Tmpfs};

/// The reason why a file system cannot be mounted here.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    #[cfg(target_os = "linux")]
    fn of<E: Into<io::Error>>(object: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{object}: {}", error.into()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
