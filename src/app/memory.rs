//! How much memory freed blocks may hold on to.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The allocators' settings that differ from their own defaults; they are read before `main`.
///
/// mimalloc gives back to the system what was freed after a tenth of a second instead of a second, and what was reserved
/// is not taken before it is needed: a quarter less memory in a drain, at the same speed. Much sooner would cost a tenth
/// of it, for what a drain frees it needs again. glibc, which C code asks, has one arena instead of one for each thread.
const SETTINGS: [(&str, &str); 3] =
    [("MIMALLOC_PURGE_DELAY", "100"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MALLOC_ARENA_MAX", "1")];

/// Starts the program anew with the allocators' settings, as the same process, unless somebody has chosen any.
///
/// A guest beside a database should not hold on to what a large transaction has left. The settings can be made from
/// outside only, short of unsafe code. Where the program cannot be started anew, it goes on.
pub(super) fn keep_small() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), env::current_exe()) else { return };
    // returns only if it fails
    let _ = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
}
