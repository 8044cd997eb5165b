//! A second copy of SQLite in the process, as some hosts have one: the copy of Python or of another crate.
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

/// The file names of SQLite's shared library.
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

/// The system's shared library of SQLite, loaded in addition to the linked one. Neither copy sees the locks of the
/// other.
#[derive(Debug)]
pub struct SecondLibrary(Library);

/// A connection of the second library. Dropping it closes it.
#[derive(Debug)]
pub struct SecondConnection<'a> {
    library: &'a SecondLibrary,
    connection: *mut c_void,
}

// SAFETY: the library is built thread-safe, as every distribution does, and the connection is used by one thread at a time.
unsafe impl Send for SecondConnection<'_> {}

impl SecondLibrary {
    /// Loads the library. Returns `None` if this machine has none.
    #[must_use]
    pub fn load() -> Option<Self> {
        NAMES.iter().find_map(|name| {
            // SAFETY: loading SQLite runs only code of the dynamic linker.
            unsafe { Library::new(*name) }.ok().map(Self)
        })
    }

    /// Returns the function of this name.
    ///
    /// # Safety
    /// `F` must be the type of the function.
    unsafe fn function<F>(&self, name: &[u8]) -> Symbol<'_, F> {
        // SAFETY: the caller's.
        unsafe { self.0.get(name) }.expect("SQLite has the function")
    }

    /// Opens an existing file, with a busy timeout in milliseconds.
    ///
    /// # Errors
    /// Returns the error code of SQLite.
    ///
    /// # Panics
    /// If the path contains a NUL byte.
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
    /// Executes statements and discards their rows.
    ///
    /// # Errors
    /// Returns the code and the message of SQLite.
    ///
    /// # Panics
    /// If the statement contains a NUL byte.
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
