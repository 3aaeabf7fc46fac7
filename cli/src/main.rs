//! The door of `paasta`. Everything behind it is in the library, so that it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    paasta_cli::run(std::env::args_os())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use paasta_cli::args::Args;
    use paasta_process::{help, reference};

    #[test]
    fn the_reference_has_the_command_line() {
        let command = Args::command();
        let page = help::markdown(&command);
        assert_eq!(reference::stale("paasta.md", "paasta", &page), None);
        let codes = help::exit_codes(&command);
        assert_eq!(reference::stale("exit-codes.md", "paasta", &codes), None);
    }
}
