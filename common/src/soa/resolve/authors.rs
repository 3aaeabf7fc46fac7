//! What authors may ask for: refused here, with the name of the setting by which an operator allows
//! it.

use super::Resolver;
use crate::{app::NetworkMode, problem::Rule};

impl Resolver<'_> {
    /// Refuses what the operator does not allow.
    pub(super) fn allowed(&mut self) {
        let (config, limits) = (self.config, &self.system.authors);
        if config.net == NetworkMode::Host && !limits.host_network {
            let message = "host is not allowed: the container would share its host's network; an \
                           operator allows it by allow_host_network: true in /etc/paasta";
            self.refuse("net", Rule::Forbidden, message);
        }
        let beyond = config.cap_add.iter().filter(|name| !limits.allows(name));
        let beyond: Vec<&str> = beyond.map(String::as_str).collect();
        if !beyond.is_empty() {
            let message = format!(
                "{} is not allowed: it is more than Docker gives by default; an operator allows it \
                 by allowed_cap_add in /etc/paasta",
                beyond.join(", ")
            );
            self.refuse("cap_add", Rule::Forbidden, message);
        }
        let shm = config.docker.shm_bytes;
        if shm > limits.shm_bytes {
            let message = format!(
                "shm-size {shm} bytes is more than the {} MiB that the operator allows by \
                 max_shm_size_mb in /etc/paasta",
                limits.shm_bytes >> 20
            );
            self.refuse("extra_docker_args", Rule::Forbidden, message);
        }
        for (name, limit) in &config.ulimits {
            let most = limit.hard.map_or(limit.soft, |hard| match hard {
                _ if hard < 0 || limit.soft < 0 => -1,
                hard => hard.max(limit.soft),
            });
            if let Some(max) = limits.below(name, most) {
                let asked = match most {
                    -1 => "no limit".to_owned(),
                    most => most.to_string(),
                };
                let message = format!(
                    "{name}: {asked} is more than the {max} that the operator allows by \
                     max_ulimits in /etc/paasta"
                );
                self.refuse("ulimit", Rule::Forbidden, message);
            }
        }
    }
}
