//! HAProxy's configuration, rendered once for what it is made from: of a thousand namespaces that
//! takes long enough to be felt, ten times a second.

use std::sync::Arc;

use paasta_agent_core::proxy::{
    config::{Config, Problems, ProxySettings, rendered},
    wanted::Wanted,
};

/// The configuration of what is wanted now.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    config: Option<Arc<Config>>,
    /// How often it was rendered.
    #[cfg(test)]
    pub(super) count: u32,
}

impl Rendered {
    /// Settings, servers or refused namespaces are not as they were.
    pub(super) fn forget(&mut self) {
        self.config = None;
    }

    /// The configuration. These must be the same until [`forget`](Self::forget).
    pub(super) fn of(
        &mut self,
        settings: &ProxySettings,
        wanted: &Wanted,
        refused: &Problems,
    ) -> Arc<Config> {
        if let Some(config) = &self.config {
            return Arc::clone(config);
        }
        #[cfg(test)]
        {
            self.count += 1;
        }
        let config = Arc::new(rendered(settings, wanted, refused));
        self.config = Some(Arc::clone(&config));
        config
    }
}
