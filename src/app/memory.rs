//! How much memory freed blocks may hold on to.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc's variable for the number of its arenas; it is read before `main`.
const VARIABLE: &str = "MALLOC_ARENA_MAX";
/// One is enough: speed does not feel it.
const ARENAS_MAX: &str = "1";

/// Starts the program anew with one arena, as the same process, unless somebody has chosen their number.
///
/// glibc gives each thread an arena of its own and keeps there what was freed. With walhook's few threads that
/// doubles the memory that a large transaction leaves behind: a guest beside a database should not. The number
/// can be set from outside only, short of unsafe code. Where the program cannot be started anew, it goes on.
pub(super) fn keep_small() {
    if !cfg!(target_env = "gnu") || std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    // returns only if it fails
    let _ = Command::new(program).arg0(name).args(arguments).env(VARIABLE, ARENAS_MAX).exec();
}
