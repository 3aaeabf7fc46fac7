//! The door of `paasta`. Everything behind it is in the library, so that it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    paasta_cli::run(std::env::args_os())
}
