//! What SQLite calls: its file system interface, each call handed to the disk that the path or the file belongs to.
//!
//! It becomes the process's default when the first disk is made. Paths of no disk go to the one it replaces.

#![allow(unsafe_code, reason = "SQLite is written in C, and this is where it calls us")]

use super::device::{Code, Device, HandleId, Mode};
use super::locks::Region;
use super::{Shared, locked};
use crate::proof::random::Random;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// Midnight of 2026-01-01 UTC in milliseconds of the Julian day: it is always then.
const NOW_MS: sqlite3_int64 = 212_633_985_600_000;
/// What SQLite assumes of a drive under Linux, and so do we, for it to do what it does there.
const SECTOR_BYTES: c_int = 4096;
const CHARACTERISTICS: c_int = ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ;

static DISKS: Mutex<BTreeMap<PathBuf, Shared>> = Mutex::new(BTreeMap::new());
static RANDOM: Mutex<Option<Random>> = Mutex::new(None);
static INSTALLED: Once = Once::new();

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, Shared>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a disk at a folder, and SQLite's random numbers to its seed.
pub(super) fn attach(folder: &Path, disk: &Shared, seed: u64) {
    INSTALLED.call_once(install);
    disks().insert(folder.to_owned(), Arc::clone(disk));
    *RANDOM.lock().unwrap_or_else(PoisonError::into_inner) = Some(Random::new(seed, 3));
    // SAFETY: without a buffer it only forgets its state, and asks for a new one when it needs numbers again
    unsafe { ffi::sqlite3_randomness(0, std::ptr::null_mut()) };
}

/// What is open stays open; nothing else finds the disk.
pub(super) fn detach(folder: &Path) {
    disks().remove(folder);
}

/// The disk that a path belongs to, and its name there.
fn find(path: &CStr) -> Option<(Shared, String)> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let disks = disks();
    let (folder, disk) = path.ancestors().skip(1).find_map(|folder| Some((folder, disks.get(folder)?)))?;
    let name = path.strip_prefix(folder).ok()?.to_str()?;
    Some((Arc::clone(disk), name.to_owned()))
}

fn install() {
    // SAFETY: SQLite initialises itself here and returns its default, which lives as long as the process. What we
    // register is leaked, so it does too; its callbacks are those below. The original's other callbacks, which we
    // keep, do not look at the interface they are called with.
    unsafe {
        let original = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!original.is_null(), "SQLite has no file system");
        let disk = sqlite3_vfs {
            szOsFile: (*original).szOsFile.max(size_of::<OpenFile>() as c_int),
            pNext: std::ptr::null_mut(),
            zName: c"losing-disk".as_ptr(),
            pAppData: original.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xRandomness: Some(randomness),
            xCurrentTime: Some(current_time),
            xCurrentTimeInt64: Some(current_time_ms),
            ..*original
        };
        let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(disk)), 1);
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite refuses the file system");
    }
}

/// What SQLite makes room for when it opens a file.
#[repr(C)]
struct OpenFile {
    base: sqlite3_file,
    connection: *mut Connection,
}

struct Connection {
    disk: Shared,
    handle: HandleId,
    /// Mapped memory, which is read until it is unmapped, whatever became of the disk.
    regions: Vec<Region>,
}

impl Connection {
    fn with<T>(&self, work: impl FnOnce(&mut Device, HandleId) -> T) -> T {
        work(&mut locked(&self.disk), self.handle)
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn code(result: Result<(), Code>) -> c_int {
    result.err().unwrap_or(ffi::SQLITE_OK)
}

/// # Safety
///
/// As SQLite's callbacks are called: with a file that `open` has opened and nobody has closed, by one thread at a
/// time.
unsafe fn connection<'a>(file: *mut sqlite3_file) -> &'a mut Connection {
    // SAFETY: `open` has put it there, `close` takes it away, and SQLite uses a file in one thread at a time
    unsafe { &mut *(*file.cast::<OpenFile>()).connection }
}

/// The file system that ours replaces.
///
/// # Safety
///
/// With the interface that `install` has registered.
unsafe fn original<'a>(vfs: *mut sqlite3_vfs) -> &'a mut sqlite3_vfs {
    // SAFETY: `install` has put it there, and it lives as long as the process
    unsafe { &mut *(*vfs).pAppData.cast::<sqlite3_vfs>() }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: `name` is none or ends with zero; `file` has room for what either of us puts there, as `szOsFile`
    // says; `flags_out` is none or can be written
    unsafe {
        let found = if name.is_null() { None } else { find(CStr::from_ptr(name)) };
        let Some((disk, name)) = found else {
            let original = original(vfs);
            return original
                .xOpen
                .map_or(ffi::SQLITE_CANTOPEN, |open| open(original, name, file, flags, flags_out));
        };
        (*file).pMethods = std::ptr::null();
        let mode = Mode {
            create: flags & ffi::SQLITE_OPEN_CREATE != 0,
            exclusive: flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0,
            write: flags & ffi::SQLITE_OPEN_READWRITE != 0,
            database: flags & ffi::SQLITE_OPEN_MAIN_DB != 0,
        };
        let opened = locked(&disk).open(&name, mode);
        let (handle, read_only) = match opened {
            Ok(opened) => opened,
            Err(code) => return code,
        };
        if !flags_out.is_null() {
            let writing = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE;
            *flags_out = if read_only { flags & !writing | ffi::SQLITE_OPEN_READONLY } else { flags };
        }
        let connection = Box::into_raw(Box::new(Connection { disk, handle, regions: Vec::new() }));
        file.cast::<OpenFile>()
            .write(OpenFile { base: sqlite3_file { pMethods: &raw const METHODS }, connection });
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: `name` ends with zero
    unsafe {
        let Some((disk, name)) = find(CStr::from_ptr(name)) else {
            let original = original(vfs);
            return original
                .xDelete
                .map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(original, name, sync_directory));
        };
        code(locked(&disk).delete(&name, sync_directory != 0))
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: `name` ends with zero, `result` can be written
    unsafe {
        let Some((disk, name)) = find(CStr::from_ptr(name)) else {
            let original = original(vfs);
            return original
                .xAccess
                .map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(original, name, flags, result));
        };
        let device = locked(&disk);
        let exists = device.exists(&name);
        let is =
            exists.map(|is| if flags == ffi::SQLITE_ACCESS_EXISTS { is } else { device.is_writable(&name) });
        code(is.map(|is| *result = c_int::from(is)))
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    into: *mut c_char,
) -> c_int {
    // SAFETY: the same call for another
    unsafe {
        let original = original(vfs);
        original.xFullPathname.map_or(ffi::SQLITE_CANTOPEN, |full| full(original, name, length, into))
    }
}

unsafe extern "C" fn randomness(_: *mut sqlite3_vfs, length: c_int, into: *mut c_char) -> c_int {
    // SAFETY: `into` has room for `length` bytes
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), length.max(0) as usize) };
    let mut random = RANDOM.lock().unwrap_or_else(PoisonError::into_inner);
    let random = random.get_or_insert_with(|| Random::new(0, 3));
    for bytes in into.chunks_mut(8) {
        bytes.copy_from_slice(&random.next().to_le_bytes()[..bytes.len()]);
    }
    length
}

unsafe extern "C" fn current_time(_: *mut sqlite3_vfs, into: *mut f64) -> c_int {
    // SAFETY: `into` can be written
    unsafe { *into = NOW_MS as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(_: *mut sqlite3_vfs, into: *mut sqlite3_int64) -> c_int {
    // SAFETY: `into` can be written
    unsafe { *into = NOW_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what was opened, once, and `open` has boxed it
    let connection = unsafe { Box::from_raw((*file.cast::<OpenFile>()).connection) };
    connection.with(Device::close);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: an open file; `into` has room for `length` bytes
    let (connection, into) = unsafe {
        (connection(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), length.max(0) as usize))
    };
    match connection.with(|device, handle| device.read(handle, at as usize, into)) {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(code) => code,
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: an open file; `from` has `length` bytes
    let (connection, from) =
        unsafe { (connection(file), std::slice::from_raw_parts(from.cast::<u8>(), length.max(0) as usize)) };
    code(connection.with(|device, handle| device.write(handle, at as usize, from)))
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    code(connection.with(|device, handle| device.truncate(handle, length as usize)))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    while connection.with(|device, _| device.faults.holds_syncs) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    code(connection.with(Device::sync))
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, into: *mut sqlite3_int64) -> c_int {
    // SAFETY: an open file; `into` can be written
    unsafe { code(connection(file).with(Device::size).map(|length| *into = length as sqlite3_int64)) }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    code(connection.with(|device, handle| device.lock(handle, level)))
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    connection.with(|device, handle| device.unlock(handle, level));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, into: *mut c_int) -> c_int {
    // SAFETY: an open file; `into` can be written
    unsafe { code(connection(file).with(Device::is_reserved).map(|is| *into = c_int::from(is))) }
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    CHARACTERISTICS
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    number: c_int,
    length: c_int,
    extend: c_int,
    into: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file; `into` can be written
    let (connection, into) = unsafe { (connection(file), &mut *into) };
    *into = std::ptr::null_mut();
    let mapped =
        connection.with(|device, handle| device.map(handle, number as usize, length as usize, extend != 0));
    match mapped {
        Ok(None) => ffi::SQLITE_OK,
        Ok(Some(region)) => {
            // atomics, so it may be written through a pointer that was shared; kept until it is unmapped
            *into = region.as_ptr().cast_mut().cast();
            connection.regions.push(region);
            ffi::SQLITE_OK
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, from: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    let (from, count) = (from as usize, count as usize);
    connection.with(|device, handle| {
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            device.unlock_slots(handle, from, count);
            return ffi::SQLITE_OK;
        }
        code(device.lock_slots(handle, from, count, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0))
    })
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file
    let connection = unsafe { connection(file) };
    connection.with(Device::unmap);
    connection.regions.clear();
    ffi::SQLITE_OK
}
