//! How the coordinators are reached: by the options, a context, or the system configuration, in
//! this order.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use paasta_common::{config::CliConfig, id::ClusterName};
use paasta_identity::{
    ClientCertificates, Credentials, Files, Tls,
    context::{self, Contexts},
};
use paasta_process::config::{self, Strictness};

use super::{Context, fleet};
use crate::{
    args::Global,
    client::{Address, Coordinators},
};

/// A context that is used, and its file.
struct Used {
    context: context::Context,
    path: PathBuf,
}

/// The address that stands for a local socket.
fn local() -> anyhow::Result<Address> {
    Ok("admin.sock:1".parse()?)
}

impl Context {
    /// The coordinators to ask: as given, or as configured.
    ///
    /// # Errors
    /// None are named anywhere, or the configuration cannot be read.
    pub fn coordinators(&self) -> anyhow::Result<Coordinators> {
        self.reaching(self.addresses()?, self.global.timeout)
    }

    /// These coordinators, each call within `timeout`, by TLS when its files are named.
    ///
    /// # Errors
    /// The files of TLS cannot be used.
    pub fn reaching(
        &self,
        addresses: Vec<Address>,
        timeout: Duration,
    ) -> anyhow::Result<Coordinators> {
        if addresses == [local()?] {
            // The kernel proves the caller: no context, and no certificate, is looked at.
            let socket = self
                .socket()?
                .context("the local socket of the coordinator is gone")?;
            return Ok(Coordinators::new(addresses, timeout, None).behind(socket));
        }
        Ok(Coordinators::new(addresses, timeout, self.tls()?))
    }

    /// Whether requests go to a coordinator of this host, over its local socket.
    ///
    /// # Errors
    /// A context cannot be read.
    pub fn is_local(&self) -> anyhow::Result<bool> {
        Ok(self.socket()?.is_some())
    }

    /// The local socket of a coordinator of this host: the one that is named, or that of root where
    /// nothing else is.
    fn socket(&self) -> anyhow::Result<Option<PathBuf>> {
        let global = &self.global;
        if global.socket.is_some() {
            return Ok(global.socket.clone());
        }
        let tls = [&global.tls_ca, &global.tls_cert, &global.tls_key];
        let named = !global.coordinators.is_empty() || tls.iter().any(|file| file.is_some());
        if named || !nix::unistd::Uid::effective().is_root() || self.used()?.is_some() {
            return Ok(None);
        }
        let given = global.config_dir.as_deref();
        if given.is_none() && !config::directory(None).exists() {
            return Ok(None);
        }
        // Its warnings are printed where the configuration is read for itself.
        let Ok((system, _)) = config::load(given, Strictness::Warn) else {
            return Ok(None);
        };
        let socket = PathBuf::from(system.coordinator.run_dir).join("admin.sock");
        Ok((system.cli == CliConfig::default() && socket.exists()).then_some(socket))
    }

    /// TLS with the files that are named, else with those of the context; `None` when neither has
    /// any.
    ///
    /// # Errors
    /// One of them is missing or cannot be used, or the certificate is not valid now.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let Some(credentials) = self.credentials()? else {
            return Ok(None);
        };
        credentials.check(SystemTime::now())?;
        Ok(Some(Tls::new(credentials, ClientCertificates::Required)?))
    }

    /// The certificate and key that are named, else those of the context; `None` when neither has
    /// any. The dates are not looked at.
    ///
    /// # Errors
    /// One of the files is missing or cannot be used.
    pub fn credentials(&self) -> anyhow::Result<Option<Credentials>> {
        let Global {
            tls_ca,
            tls_cert,
            tls_key,
            ..
        } = &self.global;
        Ok(match (tls_ca, tls_cert, tls_key) {
            (None, None, None) => match self.used()? {
                Some(used) => used.context.credentials(&used.path)?,
                None => None,
            },
            (Some(ca), Some(certificate), Some(key)) => {
                let files = Files {
                    ca: ca.clone(),
                    certificate: certificate.clone(),
                    key: key.clone(),
                };
                Some(Credentials::read(&files)?)
            }
            _ => anyhow::bail!(
                "--tls-ca, --tls-cert and --tls-key go together (or PAASTA_TLS_CA, \
                 PAASTA_TLS_CERT and PAASTA_TLS_KEY): name all three files, or none"
            ),
        })
    }

    /// The coordinators of a cluster: those of its context unless an option names others, those of
    /// `cli.clusters`, else those that are given or configured for everything.
    ///
    /// # Errors
    /// None are named anywhere, or a configuration cannot be read.
    pub fn coordinators_of(
        &self,
        cluster: &ClusterName,
        timeout: Duration,
    ) -> anyhow::Result<Coordinators> {
        if let Some(global) = fleet::of_cluster(self, cluster)? {
            let own = Self {
                global,
                ..self.clone()
            };
            return own.reaching(own.addresses()?, timeout);
        }
        let system = self.system()?;
        let addresses = match system.cli.clusters.get(cluster) {
            Some(named) => {
                let named = named.iter().map(|text| text.parse());
                let named: Result<_, _> = named.collect();
                named.with_context(|| format!("cli.clusters.{cluster} in the configuration"))?
            }
            None => self.addresses()?,
        };
        self.reaching(addresses, timeout)
    }

    /// The addresses that an option, a context or a configuration names: without them, and without
    /// anything to say about it, there is no coordinator to notify.
    ///
    /// # Errors
    /// None are named.
    pub fn known_addresses(&self) -> anyhow::Result<Vec<Address>> {
        let given = self.global.config_dir.as_deref();
        let configured = config::directory(given).exists() || self.used()?.is_some();
        anyhow::ensure!(
            configured || !self.global.coordinators.is_empty(),
            "no coordinator is named"
        );
        self.addresses()
    }

    /// The addresses of the coordinators: as given, of the context, or as configured.
    ///
    /// # Errors
    /// None are named anywhere, or the configuration cannot be read.
    pub fn addresses(&self) -> anyhow::Result<Vec<Address>> {
        if self.socket()?.is_some() {
            return Ok(vec![local()?]);
        }
        if !self.global.coordinators.is_empty() {
            return Ok(self.global.coordinators.clone());
        }
        if let Some(used) = self.used()? {
            return Ok(used.context.coordinators);
        }
        let system = self.system().context(
            "no coordinator is named: give --context NAME, or --coordinators HOST:PORT,... or \
             PAASTA_COORDINATORS; of cli.coordinators in the configuration",
        )?;
        let configured = system.cli.coordinators.iter().map(|text| text.parse());
        configured
            .collect::<Result<_, _>>()
            .context("cli.coordinators in the configuration")
    }

    /// The context that is named, else the current one unless the coordinators are named: those may
    /// be of any cluster.
    fn used(&self) -> anyhow::Result<Option<Used>> {
        let name = match &self.global.context {
            Some(name) => name.clone(),
            None if !self.global.coordinators.is_empty() => return Ok(None),
            None => {
                // Without a home there are no contexts.
                let current = Contexts::of_user().ok().map(|all| all.current());
                match current.transpose()?.flatten() {
                    Some(name) => name,
                    None => return Ok(None),
                }
            }
        };
        let contexts = Contexts::of_user()?;
        Ok(Some(Used {
            context: contexts.load(&name)?,
            path: contexts.path(&name),
        }))
    }
}
