//! The VFS itself: its registration, and its methods to open and delete files.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::Once,
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_vfs};

use super::{
    Call, FileKind, Lie,
    faults::{FAULTS, Faults},
    file::{File, OVERHEAD, methods_behind},
    forward, io,
};

/// Makes this the default VFS of the process, once. Connections that were opened before do not use it.
///
/// # Panics
/// If SQLite has no VFS for this platform.
pub fn install() -> &'static Faults {
    static INSTALLED: Once = Once::new();

    INSTALLED.call_once(|| {
        // SAFETY: a null name means the default VFS.
        let behind = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!behind.is_null(), "SQLite has no file system for this platform");
        // SAFETY: SQLite has registered it, so it exists.
        let in_front = in_front_of(unsafe { &mut *behind });
        // SAFETY: it is leaked, so it exists as long as SQLite may use it.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(in_front)), 1) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the file system");
    });
    &FAULTS
}

fn in_front_of(behind: &mut sqlite3_vfs) -> sqlite3_vfs {
    let later = |version: c_int| behind.iVersion >= version;
    sqlite3_vfs {
        iVersion: behind.iVersion.min(3),
        szOsFile: behind.szOsFile + OVERHEAD as c_int,
        mxPathname: behind.mxPathname,
        pNext: ptr::null_mut(),
        zName: c"throughline-faults".as_ptr(),
        xOpen: behind.xOpen.and(Some(open)),
        xDelete: behind.xDelete.and(Some(delete)),
        xAccess: behind.xAccess.and(Some(forward::access)),
        xFullPathname: behind.xFullPathname.and(Some(forward::full_pathname)),
        xDlOpen: behind.xDlOpen.and(Some(forward::dl_open)),
        xDlError: behind.xDlError.and(Some(forward::dl_error)),
        xDlSym: behind.xDlSym.and(Some(forward::dl_sym)),
        xDlClose: behind.xDlClose.and(Some(forward::dl_close)),
        xRandomness: behind.xRandomness.and(Some(forward::randomness)),
        xSleep: behind.xSleep.and(Some(forward::sleep)),
        xCurrentTime: behind.xCurrentTime.and(Some(forward::current_time)),
        xGetLastError: behind.xGetLastError.and(Some(forward::last_error)),
        xCurrentTimeInt64: behind
            .xCurrentTimeInt64
            .filter(|_| later(2))
            .and(Some(forward::current_time_int64)),
        xSetSystemCall: behind.xSetSystemCall.filter(|_| later(3)).and(Some(forward::set_system_call)),
        xGetSystemCall: behind.xGetSystemCall.filter(|_| later(3)).and(Some(forward::system_call)),
        xNextSystemCall: behind.xNextSystemCall.filter(|_| later(3)).and(Some(forward::next_system_call)),
        pAppData: (&raw mut *behind).cast(),
    }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    seen: *mut sqlite3_file,
    flags: c_int,
    opened: *mut c_int,
) -> c_int {
    let kind = FileKind::of_flags(flags);
    // SAFETY: SQLite allocates as much memory as the VFS requested, and does not use it yet.
    unsafe { seen.cast::<File>().write(File::new(kind)) };
    if let Some(fault) = FAULTS.meet(Call::Open, kind) {
        return fault.code;
    }
    // SAFETY: as above.
    let behind = unsafe { File::behind(seen) };
    let code = forward::hand_on!(vfs, xOpen(name, behind, flags, opened));
    // SAFETY: opening a file sets its methods, to null if it failed.
    if !unsafe { (*behind).pMethods }.is_null() {
        // SAFETY: it has methods, so it is open.
        let methods = io::methods(unsafe { methods_behind(seen) });
        // SAFETY: it is being opened here.
        unsafe { File::of(seen) }.open(methods);
    }
    if code == ffi::SQLITE_OK && kind == FileKind::Wal {
        // SAFETY: the name of a log is the one that SQLite made for it.
        let main = unsafe { ffi::sqlite3_database_file_object(name) };
        // SAFETY: a connection opens its log while its main file is open, by the same file system.
        unsafe { File::join(seen.cast(), main.cast()) };
    }
    code
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite names a file by a C string.
    let kind = FileKind::of_name(unsafe { CStr::from_ptr(name) }.to_bytes());
    if let Some(fault) = FAULTS.meet(Call::Delete, kind) {
        return fault.code;
    }
    let sync_directory = if FAULTS.current_lie() == Lie::NoSync { 0 } else { sync_directory };
    forward::hand_on!(vfs, xDelete(name, sync_directory))
}
