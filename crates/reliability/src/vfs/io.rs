//! The methods of an open file.

use std::ffi::{c_int, c_void};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods};

use super::{
    Call, FileKind, Lie,
    faults::FAULTS,
    file::{File, methods_behind},
};

/// The wrapped methods of the platform's file. SQLite must not call a method that the platform's file lacks.
pub(super) fn methods(behind: &sqlite3_io_methods) -> sqlite3_io_methods {
    sqlite3_io_methods {
        iVersion: behind.iVersion,
        xClose: behind.xClose.and(Some(close)),
        xRead: behind.xRead.and(Some(read)),
        xWrite: behind.xWrite.and(Some(write)),
        xTruncate: behind.xTruncate.and(Some(truncate)),
        xSync: behind.xSync.and(Some(sync)),
        xFileSize: behind.xFileSize.and(Some(file_size)),
        xLock: behind.xLock.and(Some(lock)),
        xUnlock: behind.xUnlock.and(Some(unlock)),
        xCheckReservedLock: behind.xCheckReservedLock.and(Some(check_reserved_lock)),
        xFileControl: behind.xFileControl.and(Some(file_control)),
        xSectorSize: behind.xSectorSize.and(Some(sector_size)),
        xDeviceCharacteristics: behind.xDeviceCharacteristics.and(Some(device_characteristics)),
        // With a lower version, the platform's structure ends before these fields.
        xShmMap: since(behind, 2, |behind| behind.xShmMap).and(Some(shm_map)),
        xShmLock: since(behind, 2, |behind| behind.xShmLock).and(Some(shm_lock)),
        xShmBarrier: since(behind, 2, |behind| behind.xShmBarrier).and(Some(shm_barrier)),
        xShmUnmap: since(behind, 2, |behind| behind.xShmUnmap).and(Some(shm_unmap)),
        xFetch: since(behind, 3, |behind| behind.xFetch).and(Some(fetch)),
        xUnfetch: since(behind, 3, |behind| behind.xUnfetch).and(Some(unfetch)),
    }
}

fn since<T>(
    behind: &sqlite3_io_methods,
    version: c_int,
    method: impl Fn(&sqlite3_io_methods) -> Option<T>,
) -> Option<T> {
    if behind.iVersion >= version { method(behind) } else { None }
}

/// Calls a method of the platform's file.
macro_rules! below {
    ($file:expr, $method:ident($($argument:expr),*)) => {{
        let file: *mut sqlite3_file = $file;
        // SAFETY: SQLite calls methods of files that it has open.
        let methods = unsafe { methods_behind(file) };
        let method = methods.$method.expect("only what is there is offered");
        // SAFETY: as above.
        let behind = unsafe { File::behind(file) };
        // SAFETY: it is the method of this file, and SQLite vouches for the arguments.
        unsafe { method(behind $(, $argument)*) }
    }};
}

/// A method that is only forwarded, or fails before that if a call is named.
macro_rules! handed_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $method:ident $(or $call:ident)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            $(if let Some(code) = fails(file, Call::$call) {
                return code;
            })?
            below!(file, $method($($argument),*))
        }
    )*};
}

handed_on! {
    fn file_size(size: *mut sqlite3_int64) -> c_int = xFileSize or FileSize;
    fn lock(level: c_int) -> c_int = xLock or Lock;
    fn unlock(level: c_int) -> c_int = xUnlock;
    fn check_reserved_lock(is_held: *mut c_int) -> c_int = xCheckReservedLock;
    fn file_control(operation: c_int, argument: *mut c_void) -> c_int = xFileControl;
    fn sector_size() -> c_int = xSectorSize;
    fn device_characteristics() -> c_int = xDeviceCharacteristics;
    fn shm_map(region: c_int, size: c_int, extend: c_int, memory: *mut *mut c_void) -> c_int = xShmMap or ShmMap;
    fn shm_barrier() = xShmBarrier;
    fn shm_unmap(delete: c_int) -> c_int = xShmUnmap;
    fn fetch(offset: sqlite3_int64, bytes: c_int, memory: *mut *mut c_void) -> c_int = xFetch;
    fn unfetch(offset: sqlite3_int64, memory: *mut c_void) -> c_int = xUnfetch;
}

/// Returns the error code of a call that fails at once.
fn fails(file: *mut sqlite3_file, call: Call) -> Option<c_int> {
    FAULTS.meet(call, kind(file)).map(|fault| fault.code)
}

fn kind(file: *mut sqlite3_file) -> FileKind {
    // SAFETY: SQLite calls methods of files that it has open, each in one thread at a time.
    unsafe { File::of(file) }.kind
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls methods of files that it has open, each in one thread at a time.
    unsafe { File::of(file) }.part();
    below!(file, xClose())
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    buffer: *mut c_void,
    bytes: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let Some(fault) = FAULTS.meet(Call::Read, kind(file)) else {
        return below!(file, xRead(buffer, bytes, offset));
    };
    if fault.call == Call::ShortRead {
        let half = bytes / 2;
        let code = below!(file, xRead(buffer, half, offset));
        if code != ffi::SQLITE_OK {
            return code;
        }
        // SAFETY: it is within the buffer.
        let rest = unsafe { buffer.byte_offset(half as isize) };
        // SAFETY: the buffer has space for all requested bytes.
        unsafe { rest.cast::<u8>().write_bytes(0, (bytes - half) as usize) };
    }
    fault.code
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    buffer: *const c_void,
    bytes: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let fault = FAULTS.meet(Call::Write, kind(file));
    let bytes = match fault {
        Some(fault) if fault.call == Call::ShortWrite => bytes / 2,
        Some(fault) => return fault.code,
        None => bytes,
    };
    let code = settle(file);
    if code != ffi::SQLITE_OK {
        return code;
    }
    let code = below!(file, xWrite(buffer, bytes, offset));
    if code == ffi::SQLITE_OK {
        FAULTS.has_written(bytes);
        FAULTS.has_written_at(kind(file), offset);
        // SAFETY: SQLite calls methods of files that it has open, each in one thread at a time.
        let file = unsafe { File::of(file) };
        file.is_begun |= file.kind == FileKind::Wal && offset == 0;
    }
    fault.map_or(code, |fault| fault.code)
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    if let Some(code) = fails(file, Call::Truncate) {
        return code;
    }
    match settle(file) {
        ffi::SQLITE_OK => below!(file, xTruncate(size)),
        code => code,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    if let Some(code) = fails(file, Call::Sync) {
        FAULTS.has_not_synced(kind(file));
        return code;
    }
    let lie = FAULTS.current_lie();
    {
        // SAFETY: SQLite calls methods of files that it has open, each in one thread at a time.
        let file = unsafe { File::of(file) };
        let is_skipped = match lie {
            Lie::None => false,
            Lie::NoSync => true,
            Lie::NormalSync => file.kind == FileKind::Wal && !file.is_begun,
        };
        file.is_owed = is_skipped;
        if is_skipped {
            FAULTS.has_lied();
            return ffi::SQLITE_OK;
        }
        file.is_begun = false;
    }
    FAULTS.has_synced(kind(file));
    below!(file, xSync(flags))
}

/// Performs the skipped sync of the WAL before the main file changes.
fn settle(file: *mut sqlite3_file) -> c_int {
    if FAULTS.current_lie() != Lie::NormalSync {
        return ffi::SQLITE_OK;
    }
    // SAFETY: SQLite calls methods of files that it has open, each in one thread at a time.
    match unsafe { File::of(file) }.take_owed_log() {
        Some(log) => {
            FAULTS.has_synced(FileKind::Wal);
            below!(log, xSync(ffi::SQLITE_SYNC_NORMAL))
        }
        None => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    if flags & ffi::SQLITE_SHM_LOCK != 0
        && let Some(code) = fails(file, Call::ShmLock)
    {
        return code;
    }
    below!(file, xShmLock(offset, count, flags))
}
