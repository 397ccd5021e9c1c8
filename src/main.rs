//! The program.

fn main() -> std::process::ExitCode {
    walhook::app::main().into()
}
