//! What planted faults do to the files of agents and coordinators.

use super::super::world::AgentSeat;

/// A planted fault: nothing is left of what the agent obeyed.
pub(super) fn forget_ledger(seat: &AgentSeat) {
    // What is not there is forgotten already.
    for file in ["ledger", "ledger.before"] {
        let _ = std::fs::remove_file(seat.dir.join(file));
    }
}

pub(super) fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
