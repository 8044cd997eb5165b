//! A second copy of SQLite in this process, as a host has one beside the copy of the store: Python's own, another crate's.
//!
//! ```no_run
//! use throughline_reliability::SecondLibrary;
//!
//! let library = SecondLibrary::load().expect("this machine has a libsqlite3");
//! let host = library.open("chat.db".as_ref(), 0).unwrap();
//! host.execute("SELECT count(*) FROM messages").unwrap();
//! ```

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::Path,
    ptr,
};

use libloading::{Library, Symbol};

/// Where systems keep the shared library of SQLite.
const NAMES: [&str; 3] = ["libsqlite3.so.0", "libsqlite3.so", "libsqlite3.dylib"];

const SQLITE_OPEN_READWRITE: c_int = 2;
const SQLITE_OK: c_int = 0;

type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, *const c_char) -> c_int;
type Execute = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    Option<unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int>,
    *mut c_void,
    *mut *mut c_char,
) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
type BusyTimeout = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
type Message = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// The system's shared library of SQLite, loaded beside the one that is linked into the program. The two know nothing of
/// each other's locks.
#[derive(Debug)]
pub struct SecondLibrary(Library);

/// A connection of the second library. Closed when it is dropped.
#[derive(Debug)]
pub struct SecondConnection<'a> {
    library: &'a SecondLibrary,
    connection: *mut c_void,
}

// SAFETY: the library is built thread-safe, as every distribution does, and the connection is used by one thread at a time.
unsafe impl Send for SecondConnection<'_> {}

impl SecondLibrary {
    /// Loads it. Nothing where this machine has none.
    #[must_use]
    pub fn load() -> Option<Self> {
        NAMES.iter().find_map(|name| {
            // SAFETY: loading SQLite runs no code beside the dynamic linker's.
            unsafe { Library::new(*name) }.ok().map(Self)
        })
    }

    /// The function of this name.
    ///
    /// # Safety
    /// `F` has to be its type.
    unsafe fn function<F>(&self, name: &[u8]) -> Symbol<'_, F> {
        // SAFETY: the caller's.
        unsafe { self.0.get(name) }.expect("SQLite has the function")
    }

    /// Opens a file that exists, and waits so many milliseconds for a lock.
    ///
    /// # Errors
    /// The code of SQLite.
    ///
    /// # Panics
    /// Where the path holds a zero byte.
    pub fn open(&self, path: &Path, busy_timeout: c_int) -> Result<SecondConnection<'_>, String> {
        let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without a zero byte");
        let mut connection = ptr::null_mut();
        // SAFETY: the type is that of `sqlite3.h`.
        let open = unsafe { self.function::<Open>(b"sqlite3_open_v2\0") };
        // SAFETY: both pointers are valid for the call.
        let code = unsafe { open(name.as_ptr(), &raw mut connection, SQLITE_OPEN_READWRITE, ptr::null()) };
        let opened = SecondConnection { library: self, connection };
        opened.check(code)?;
        // SAFETY: the type is that of `sqlite3.h`.
        let timeout = unsafe { self.function::<BusyTimeout>(b"sqlite3_busy_timeout\0") };
        // SAFETY: the connection is open.
        let code = unsafe { timeout(opened.connection, busy_timeout) };
        opened.check(code)?;
        Ok(opened)
    }
}

impl SecondConnection<'_> {
    /// Runs statements to their end, and drops their rows.
    ///
    /// # Errors
    /// The code and the message of SQLite.
    ///
    /// # Panics
    /// Where the statement holds a zero byte.
    pub fn execute(&self, sql: &str) -> Result<(), String> {
        let sql = CString::new(sql).expect("SQL without a zero byte");
        // SAFETY: the type is that of `sqlite3.h`.
        let execute = unsafe { self.library.function::<Execute>(b"sqlite3_exec\0") };
        // SAFETY: the connection is open, and the text ends with a zero byte.
        let code = unsafe { execute(self.connection, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        self.check(code)
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the type is that of `sqlite3.h`.
        let message = unsafe { self.library.function::<Message>(b"sqlite3_errmsg\0") };
        // SAFETY: the connection is open, or null, which SQLite takes.
        let message = unsafe { message(self.connection) };
        // SAFETY: SQLite answers a text that lives until the next call on the connection.
        let message = unsafe { CStr::from_ptr(message) };
        Err(format!("{} (code {code})", message.to_string_lossy()))
    }
}

impl Drop for SecondConnection<'_> {
    fn drop(&mut self) {
        // SAFETY: the type is that of `sqlite3.h`.
        let close = unsafe { self.library.function::<Close>(b"sqlite3_close_v2\0") };
        // SAFETY: it is closed once, and null is taken.
        unsafe { close(self.connection) };
    }
}
