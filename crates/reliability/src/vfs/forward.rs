//! The methods of the file system that are only forwarded.

use std::ffi::{c_char, c_int, c_void};

use rusqlite::ffi::{sqlite3_int64, sqlite3_syscall_ptr, sqlite3_vfs};

/// The result of `xDlSym`.
type Symbol = Option<unsafe extern "C" fn(*mut sqlite3_vfs, *mut c_void, *const c_char)>;

/// Returns the platform's file system behind this one.
pub(super) fn behind(vfs: *mut sqlite3_vfs) -> *mut sqlite3_vfs {
    // SAFETY: SQLite calls the methods of the file system that was registered here, which is never freed.
    unsafe { (*vfs).pAppData }.cast()
}

/// Calls a method of the platform's file system.
macro_rules! hand_on {
    ($vfs:expr, $method:ident($($argument:expr),*)) => {{
        let behind = $crate::vfs::forward::behind($vfs);
        // SAFETY: file systems are not freed while they are in use.
        let method = unsafe { (*behind).$method }.expect("only what is there is offered");
        // SAFETY: it is a method of this file system, and SQLite vouches for the arguments.
        unsafe { method(behind $(, $argument)*) }
    }};
}
pub(super) use hand_on;

macro_rules! handed_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $method:ident;)*) => {$(
        pub(super) unsafe extern "C" fn $name(vfs: *mut sqlite3_vfs $(, $argument: $type)*) -> $result {
            hand_on!(vfs, $method($($argument),*))
        }
    )*};
}

handed_on! {
    fn access(name: *const c_char, flags: c_int, answer: *mut c_int) -> c_int = xAccess;
    fn full_pathname(name: *const c_char, bytes: c_int, path: *mut c_char) -> c_int = xFullPathname;
    fn dl_open(name: *const c_char) -> *mut c_void = xDlOpen;
    fn dl_error(bytes: c_int, message: *mut c_char) -> () = xDlError;
    fn dl_sym(library: *mut c_void, name: *const c_char) -> Symbol = xDlSym;
    fn dl_close(library: *mut c_void) -> () = xDlClose;
    fn randomness(bytes: c_int, buffer: *mut c_char) -> c_int = xRandomness;
    fn sleep(microseconds: c_int) -> c_int = xSleep;
    fn current_time(time: *mut f64) -> c_int = xCurrentTime;
    fn last_error(bytes: c_int, message: *mut c_char) -> c_int = xGetLastError;
    fn current_time_int64(time: *mut sqlite3_int64) -> c_int = xCurrentTimeInt64;
    fn set_system_call(name: *const c_char, call: sqlite3_syscall_ptr) -> c_int = xSetSystemCall;
    fn system_call(name: *const c_char) -> sqlite3_syscall_ptr = xGetSystemCall;
    fn next_system_call(name: *const c_char) -> *const c_char = xNextSystemCall;
}
