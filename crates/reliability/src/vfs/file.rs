//! An open file: the structure that SQLite sees, and the file of the platform behind it.

use std::{
    ffi::c_int,
    mem::{self, offset_of},
    ptr,
};

use rusqlite::ffi;

use super::FileKind;

/// The beginning of the memory that SQLite allocates for a file. The file of the platform follows it.
#[repr(C)]
pub(super) struct File {
    /// The structure that SQLite uses.
    seen: ffi::sqlite3_file,
    /// The methods that `seen` points to: those of the platform's file, each with a wrapper.
    methods: ffi::sqlite3_io_methods,
    pub(super) kind: FileKind,
    /// For a main file: the open WAL of the same connection. For a WAL: the main file.
    partner: *mut File,
    /// For a WAL: a sync was reported but not done.
    pub(super) is_owed: bool,
    /// For a WAL: its header was written but not synced.
    pub(super) is_begun: bool,
}

/// The additional size of a file here.
pub(super) const OVERHEAD: usize = mem::size_of::<File>();

// SQLite allocates with an alignment of 8 bytes, and the platform's file behind this needs the same alignment.
const _: () = assert!(OVERHEAD.is_multiple_of(8) && offset_of!(File, seen) == 0);

impl File {
    /// A file that is not open: SQLite does not close a file without methods.
    pub(super) const fn new(kind: FileKind) -> Self {
        Self {
            seen: ffi::sqlite3_file { pMethods: ptr::null() },
            methods: NO_METHODS,
            kind,
            partner: ptr::null_mut(),
            is_owed: false,
            is_begun: false,
        }
    }

    /// Returns the file of SQLite's pointer.
    ///
    /// # Safety
    /// `seen` is the memory of a file that is open or being opened here, and no other reference to it exists during
    /// the use: SQLite never uses one file in two threads at once.
    pub(super) unsafe fn of<'a>(seen: *mut ffi::sqlite3_file) -> &'a mut Self {
        // SAFETY: the caller guarantees it, and `seen` is the first field.
        unsafe { &mut *seen.cast::<Self>() }
    }

    /// Returns the platform's file behind the one that SQLite sees.
    ///
    /// # Safety
    /// `seen` is the memory of a file here.
    pub(super) const unsafe fn behind(seen: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
        // SAFETY: that memory is `OVERHEAD` larger than the platform's file.
        unsafe { seen.byte_add(OVERHEAD) }
    }

    /// Marks the file as open for SQLite.
    pub(super) fn open(&mut self, methods: ffi::sqlite3_io_methods) {
        self.methods = methods;
        self.seen.pMethods = &raw const self.methods;
    }

    /// Connects a WAL to the main file of the same connection.
    ///
    /// # Safety
    /// Both are open here.
    pub(super) unsafe fn join(log: *mut Self, main: *mut Self) {
        // SAFETY: it is open.
        unsafe { (*log).partner = main };
        // SAFETY: it is open.
        unsafe { (*main).partner = log };
    }

    /// Disconnects the file from its partner before it is closed.
    pub(super) fn part(&mut self) {
        let partner = mem::replace(&mut self.partner, ptr::null_mut());
        if !partner.is_null() {
            // SAFETY: the file that is closed first disconnects the other one, so the partner is open.
            unsafe { (*partner).partner = ptr::null_mut() };
        }
    }

    /// For a main file: returns its WAL if a sync of it was reported but not done. The caller must sync it.
    pub(super) fn take_owed_log(&mut self) -> Option<*mut ffi::sqlite3_file> {
        if self.kind != FileKind::Main || self.partner.is_null() {
            return None;
        }
        // SAFETY: the WAL disconnects before it is closed, and only this connection uses it.
        let log = unsafe { &mut *self.partner };
        mem::take(&mut log.is_owed).then_some(self.partner.cast())
    }
}

/// Returns the methods of the platform's file behind `seen`.
///
/// # Safety
/// `seen` is open here.
pub(super) unsafe fn methods_behind<'a>(seen: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: the caller guarantees it.
    let behind = unsafe { File::behind(seen) };
    // SAFETY: it is open, so it has methods.
    let methods = unsafe { (*behind).pMethods };
    // SAFETY: an open file points to its methods until it is closed.
    unsafe { &*methods }
}

const NO_METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 0 as c_int,
    xClose: None,
    xRead: None,
    xWrite: None,
    xTruncate: None,
    xSync: None,
    xFileSize: None,
    xLock: None,
    xUnlock: None,
    xCheckReservedLock: None,
    xFileControl: None,
    xSectorSize: None,
    xDeviceCharacteristics: None,
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};
