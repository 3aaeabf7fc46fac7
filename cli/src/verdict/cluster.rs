//! The exit code of `paasta metastatus`.

pub use paasta_proto::verdict::cluster::{
    Finding, Level, SILENT_AFTER_MS, findings, is_full, is_unwell, percent,
};

use crate::exit::Exit;

/// The exit code of the findings: a warning is no trouble yet.
pub fn exit(findings: &[Finding]) -> Exit {
    match is_unwell(findings) {
        true => Exit::Unwell,
        false => Exit::Ok,
    }
}
