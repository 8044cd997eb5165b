//! An open file: what SQLite sees of it, and the platform's file behind that.

use std::{
    ffi::c_int,
    mem::{self, offset_of},
    ptr,
};

use rusqlite::ffi;

use super::FileKind;

/// The beginning of the memory that SQLite sets aside for a file. The platform's file follows it there.
#[repr(C)]
pub(super) struct File {
    /// What SQLite takes the whole for.
    seen: ffi::sqlite3_file,
    /// What `seen` points to: the methods that the platform's file has, each by way of here.
    methods: ffi::sqlite3_io_methods,
    pub(super) kind: FileKind,
    /// Of a main file: the log of the same connection, while that is open. Of a log: the main file.
    partner: *mut File,
    /// Of a log: it was said to be on the disk and is not.
    pub(super) is_owed: bool,
    /// Of a log: its beginning was written and not brought to the disk.
    pub(super) is_begun: bool,
}

/// How much larger a file is here than the platform's.
pub(super) const OVERHEAD: usize = mem::size_of::<File>();

// SQLite hands out memory aligned to 8 bytes, and the platform's file behind this has to be as well.
const _: () = assert!(OVERHEAD.is_multiple_of(8) && offset_of!(File, seen) == 0);

impl File {
    /// A file that is not open: SQLite does not close one without methods.
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

    /// The file that SQLite means.
    ///
    /// # Safety
    /// `seen` is the memory of a file that was opened here and not closed, or is being opened here, and nobody else
    /// refers to it for as long as this is used: SQLite never uses one file in two threads at once.
    pub(super) unsafe fn of<'a>(seen: *mut ffi::sqlite3_file) -> &'a mut Self {
        // SAFETY: the caller vouches for it, and what SQLite sees is the beginning of it.
        unsafe { &mut *seen.cast::<Self>() }
    }

    /// The platform's file behind one that SQLite sees.
    ///
    /// # Safety
    /// `seen` is memory for a file here.
    pub(super) const unsafe fn behind(seen: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
        // SAFETY: that memory is `OVERHEAD` larger than the platform's file.
        unsafe { seen.byte_add(OVERHEAD) }
    }

    /// Has SQLite see it as open.
    pub(super) fn open(&mut self, methods: ffi::sqlite3_io_methods) {
        self.methods = methods;
        self.seen.pMethods = &raw const self.methods;
    }

    /// The log of `main`, which its connection has opened, belongs to it from here on.
    ///
    /// # Safety
    /// Both are open here.
    pub(super) unsafe fn join(log: *mut Self, main: *mut Self) {
        // SAFETY: it is open.
        unsafe { (*log).partner = main };
        // SAFETY: it is open.
        unsafe { (*main).partner = log };
    }

    /// Takes leave of the file that belongs to it, before it is closed.
    pub(super) fn part(&mut self) {
        let partner = mem::replace(&mut self.partner, ptr::null_mut());
        if !partner.is_null() {
            // SAFETY: whichever of the two is closed first takes leave of the other, so that one is open.
            unsafe { (*partner).partner = ptr::null_mut() };
        }
    }

    /// Of a main file: its log, if that was said to be on the disk and is not. It is taken for granted that the caller
    /// brings it there.
    pub(super) fn take_owed_log(&mut self) -> Option<*mut ffi::sqlite3_file> {
        if self.kind != FileKind::Main || self.partner.is_null() {
            return None;
        }
        // SAFETY: the log takes leave before it is closed, and only this connection uses it.
        let log = unsafe { &mut *self.partner };
        mem::take(&mut log.is_owed).then_some(self.partner.cast())
    }
}

/// The methods of the platform's file behind `seen`.
///
/// # Safety
/// `seen` was opened here and not closed.
pub(super) unsafe fn methods_behind<'a>(seen: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: the caller vouches for it.
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
