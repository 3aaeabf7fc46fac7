//! The man pages of a program, made from its command line, so that they cannot differ.

use std::{fs, io, path::Path};

use clap::Command;

/// Writes a page for the program and one for each of its commands into a directory, which is made
/// if it is not there: `paasta.1`, `paasta-status.1` and so on.
///
/// # Errors
/// A page cannot be written.
pub fn man(program: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(program, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_a_file_in_the_way_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man1");
        let program = Command::new("tool").subcommand(Command::new("run").about("Run it"));
        man(program.clone(), &pages).unwrap();
        let run = fs::read_to_string(pages.join("tool-run.1")).unwrap();
        assert!(run.contains("Run it"), "{run}");
        assert!(pages.join("tool.1").exists());
        fs::write(directory.path().join("file"), "").unwrap();
        man(program, &directory.path().join("file")).unwrap_err();
    }
}
