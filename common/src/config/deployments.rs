//! The section `deployments`: how the leader follows the services' git repositories.

use crate::soa::decode::{Fields, Range};

/// Settings of following git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentsConfig {
    /// `generate`: whether the leader asks the services' repositories which versions run. When not,
    /// whoever distributes deployments.json says so. Default true.
    pub generate: bool,
    /// `every_seconds`: between two looks at one repository, at least, 1 to 3,600. Default 10.
    pub every_seconds: u64,
    /// `at_once`: how many repositories are asked at the same time, 1 to 256. Default 16.
    pub at_once: u32,
    /// `remote_timeout_seconds`: how long one may take to answer, 1 to 600. Default 30.
    pub remote_timeout_seconds: u64,
    /// `retry_max_seconds`: one that does not answer is asked ever more rarely, up to this, 1 to
    /// 86,400. Default 300.
    pub retry_max_seconds: u64,
    /// `write`: whether deployments.json is written too, for others to read. Default true.
    pub write: bool,
    /// `dir`: below which it is written, as `SERVICE/deployments.json`. Default: soa_dir.
    pub dir: Option<String>,
}

impl DeploymentsConfig {
    pub(super) fn decode(fields: &mut Fields<'_, '_>) -> Self {
        let seconds = |most| Range::within(1.0, most);
        Self {
            generate: fields.boolean("generate").unwrap_or(true),
            every_seconds: fields
                .whole("every_seconds", seconds(3_600.0))
                .unwrap_or(10),
            at_once: fields
                .whole32("at_once", Range::within(1.0, 256.0))
                .unwrap_or(16),
            remote_timeout_seconds: fields
                .whole("remote_timeout_seconds", seconds(600.0))
                .unwrap_or(30),
            retry_max_seconds: fields
                .whole("retry_max_seconds", seconds(86_400.0))
                .unwrap_or(300),
            write: fields.boolean("write").unwrap_or(true),
            dir: fields.text("dir"),
        }
    }
}
