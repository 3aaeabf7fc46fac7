//! Which coordinator a verb is about: what the configuration says, with flags over it.

use std::path::PathBuf;

use anyhow::Context;
use paasta_common::config::SystemConfig;
use paasta_identity::IdentityDir;
use paasta_process::config::{self, Strictness};

/// Every flag overrides the key of the same name in the `coordinator` section.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory of configuration files, merged in name order. Default: the environment's
    /// PAASTA_SYSTEM_CONFIG_DIR, or /etc/paasta if it exists.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// This coordinator's id, unique in the cluster and never used again once removed.
    #[arg(long)]
    node_id: Option<u64>,
    /// Where the log, the vote and the snapshots are kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where its certificate and key are kept.
    #[arg(long, value_name = "DIR")]
    identity_dir: Option<String>,
}

impl Place {
    /// The configuration.
    pub(crate) fn load(self) -> anyhow::Result<SystemConfig> {
        let directory = config::directory(self.config_dir.as_deref());
        let named = self.config_dir.is_some() || directory.exists();
        let mut system = match named {
            true => {
                let (system, warnings) = config::load(self.config_dir.as_deref(), Strictness::Warn)
                    .context("the configuration cannot be used")?;
                for warning in warnings {
                    tracing::warn!(%warning, "configuration");
                }
                system
            }
            // Flags alone will do.
            false => SystemConfig::default(),
        };
        let ours = &mut system.coordinator;
        ours.node_id = self.node_id.or(ours.node_id);
        ours.identity_dir = self.identity_dir.or(ours.identity_dir.take());
        if let Some(data_dir) = self.data_dir {
            ours.data_dir = data_dir;
        }
        Ok(system)
    }
}

/// The directory of a coordinator's identity.
pub(crate) fn identity_dir(system: &SystemConfig) -> IdentityDir {
    IdentityDir::new(system.coordinator.identity_dir().as_ref())
}
