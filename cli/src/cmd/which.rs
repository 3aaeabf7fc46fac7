//! The instance that a command line names: `SERVICE.INSTANCE`, or `-s SERVICE -i INSTANCE`, or the
//! service of this directory.

use anyhow::{Context as _, bail};
use paasta_common::id::{InstanceId, InstanceName, ServiceName};

use super::marking::guess;

/// One instance, in either form.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The instance
    #[arg(value_name = "SERVICE.INSTANCE", conflicts_with_all = ["service", "instance"])]
    pub id: Option<InstanceId>,
    /// The service [default: the name of this directory, without a leading services-]
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// The instance of the service [default: main]
    #[arg(short, long, alias = "instances", value_name = "INSTANCE")]
    pub instance: Option<InstanceName>,
}

impl Which {
    /// The instance.
    ///
    /// # Errors
    /// Nothing names it, and the name of this directory is no service's.
    pub fn one(&self) -> anyhow::Result<InstanceId> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let service = match &self.service {
            Some(service) => service.clone(),
            None => guessed()?,
        };
        let instance = match &self.instance {
            Some(instance) => instance.to_string(),
            None => "main".to_owned(),
        };
        let id = format!("{service}.{instance}");
        id.parse()
            .with_context(|| format!("{id:?} names no instance"))
    }
}

fn guessed() -> anyhow::Result<ServiceName> {
    let name = guess()?;
    match ServiceName::new(&name) {
        Ok(service) => Ok(service),
        Err(_) => bail!(
            "which instance? Give SERVICE.INSTANCE, or -s SERVICE -i INSTANCE; the name of this \
             directory, {name:?}, is no service's"
        ),
    }
}
