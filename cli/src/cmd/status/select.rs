//! Which instances `paasta status` and `paasta watch` show: what is asked of the coordinator, and
//! what is chosen from its answer.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, bail};
use paasta_common::{
    id::{InstanceId, ServiceName},
    soa::SoaDir,
};
use paasta_proto::v1::{InstanceStatus, StatusResponse};
use regex::Regex;

use crate::{
    cmd::Context,
    exit::Exit,
    verdict::{glance::is_bouncing, instance},
};

/// Characters that make a name a pattern.
const PATTERN: [char; 2] = ['*', '?'];

/// Which instances.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Select {
    /// Only these instances
    #[arg(value_name = "SERVICE.INSTANCE", conflicts_with_all = ["service", "instances"])]
    pub ids: Vec<InstanceId>,
    /// Only this service, or the services of a pattern with * and ?
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only these instances of the service, or those of a pattern
    #[arg(short, long, alias = "instance", value_name = "INSTANCE,...")]
    #[arg(value_delimiter = ',', requires = "service")]
    pub instances: Vec<String>,
    /// Only these clusters [default: all that are configured]
    #[arg(short, long, alias = "cluster", value_name = "CLUSTER,...")]
    #[arg(value_delimiter = ',')]
    pub clusters: Vec<String>,
    /// Only instances of these deploy groups, by the yelpsoa-configs directory
    #[arg(short = 'l', long, alias = "deploy-groups", value_name = "GROUP,...")]
    #[arg(value_delimiter = ',')]
    pub deploy_group: Vec<String>,
    /// Only instances of this team
    #[arg(short = 'o', long, visible_alias = "owner", value_name = "TEAM")]
    pub team: Option<String>,
    /// Only instances that are announced as this SERVICE.NAMESPACE
    #[arg(short = 'r', long, value_name = "REGISTRATION")]
    pub registration: Option<String>,
    /// Only instances that are not as wanted
    #[arg(long)]
    pub not_ok: bool,
    /// Only instances that are being bounced
    #[arg(long)]
    pub bouncing: bool,
    /// The yelpsoa-configs directory for -l [default: soa_dir of the configuration]
    #[arg(short = 'd', short_alias = 'y', long, alias = "yelpsoa-config-root")]
    #[arg(value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
}

/// The instances of deploy groups, where these choose.
#[derive(Debug, Default)]
pub struct Groups(Option<BTreeSet<(String, String, String)>>);

impl Select {
    /// Whether one service is named, and not by a pattern: then it is shown in full.
    pub fn is_named(&self) -> bool {
        let named = self.service.as_deref();
        !self.ids.is_empty() || named.is_some_and(|name| !name.contains(PATTERN))
    }

    /// The service and the instances to ask for: all where the answer has to be chosen from.
    pub fn asked(&self) -> (String, Vec<String>) {
        if let Some(first) = self.ids.first() {
            let of_one = self.ids.iter().all(|id| id.service == first.service);
            let names = self.ids.iter().map(|id| id.instance.to_string());
            return match of_one {
                true => (first.service.to_string(), names.collect()),
                false => Default::default(),
            };
        }
        match &self.service {
            Some(name) if !name.contains(PATTERN) => match self.is_pattern_of_instances() {
                true => (name.clone(), Vec::new()),
                false => (name.clone(), self.instances.clone()),
            },
            _ => Default::default(),
        }
    }

    /// The instances of several services: the coordinators do not say which of them are unknown.
    pub fn of_several(&self) -> BTreeSet<String> {
        match self.asked().0.is_empty() {
            true => self.ids.iter().map(ToString::to_string).collect(),
            false => BTreeSet::new(),
        }
    }

    fn is_pattern_of_instances(&self) -> bool {
        self.instances.iter().any(|name| name.contains(PATTERN))
    }

    /// Whether something chooses that may well choose nothing.
    pub fn is_filtered(&self) -> bool {
        self.not_ok || self.bouncing
    }

    /// The instances of the deploy groups, from the yelpsoa-configs directory.
    ///
    /// # Errors
    /// The directory cannot be read, or no instance has one of these groups.
    pub fn groups(&self, context: &Context) -> anyhow::Result<Groups> {
        if self.deploy_group.is_empty() {
            return Ok(Groups::default());
        }
        let system = context.system()?;
        let dir = context.soa_dir(self.soa_dir.as_deref())?;
        let soa = SoaDir::open(&dir).with_context(|| {
            format!(
                "-l reads the deploy groups in {}: give -d DIR",
                dir.display()
            )
        })?;
        let named = self.service.as_deref().filter(|_| self.is_named());
        let services = match named {
            Some(name) => vec![ServiceName::new(name)?],
            None => soa.services()?,
        };
        let mut found = BTreeSet::new();
        for service in services {
            for target in soa.targets(&service, &system)?.list {
                if self.deploy_group.contains(&target.deploy_group) {
                    let names = (target.cluster.to_string(), service.to_string());
                    found.insert((names.0, names.1, target.instance.to_string()));
                }
            }
        }
        if found.is_empty() {
            let groups = self.deploy_group.join(", ");
            bail!("no instance in {} has deploy group {groups}", dir.display());
        }
        Ok(Groups(Some(found)))
    }

    /// Refuses an answer of another cluster than those that are meant.
    ///
    /// # Errors
    /// The cluster is not among them.
    pub fn check_cluster(&self, found: &str) -> anyhow::Result<()> {
        check_cluster(&self.clusters, found)
    }

    /// Leaves only the chosen instances in the answer.
    ///
    /// # Errors
    /// A pattern is none.
    pub fn choose(&self, answer: &mut StatusResponse, groups: &Groups) -> anyhow::Result<()> {
        let service = self.service.as_deref().map(pattern).transpose()?;
        let instances = self.instances.iter().map(|name| pattern(name));
        let instances = instances.collect::<anyhow::Result<Vec<Regex>>>()?;
        let cluster = answer.cluster.clone();
        answer.instances.retain(|one| {
            let id = (cluster.clone(), one.service.clone(), one.instance.clone());
            let in_group = |all: &BTreeSet<_>| all.contains(&id);
            let named = |id: &InstanceId| {
                id.service.as_str() == one.service && id.instance.as_str() == one.instance
            };
            (self.ids.is_empty() || self.ids.iter().any(named))
                && service.as_ref().is_none_or(|it| it.is_match(&one.service))
                && (instances.is_empty() || instances.iter().any(|it| it.is_match(&one.instance)))
                && groups.0.as_ref().is_none_or(in_group)
                && self.chooses(one)
        });
        Ok(())
    }

    /// Whether the instance itself is as it is asked for.
    fn chooses(&self, one: &InstanceStatus) -> bool {
        let announced = |name: &String| one.registrations.contains(name);
        self.team.as_ref().is_none_or(|team| one.team == *team)
            && self.registration.as_ref().is_none_or(announced)
            && (!self.not_ok || instance::exit(one) != Exit::Ok)
            && (!self.bouncing || is_bouncing(one))
    }
}

/// Refuses an answer of another cluster than those that are meant; all are where none is named.
///
/// # Errors
/// The cluster is not among them.
pub fn check_cluster(meant: &[String], found: &str) -> anyhow::Result<()> {
    if meant.is_empty() || meant.iter().any(|name| name == found) {
        return Ok(());
    }
    bail!(
        "these are the coordinators of cluster {found}, not of {}: name others with \
         --coordinators or PAASTA_COORDINATORS",
        meant.join(", ")
    )
}

/// A whole name with `*` for any characters and `?` for one.
fn pattern(text: &str) -> anyhow::Result<Regex> {
    let inner = regex::escape(text).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("^{inner}$")).with_context(|| format!("{text:?} is no pattern"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> StatusResponse {
        let names = ["web.main", "web.worker", "webapp.main", "db.main"];
        let one = |name: &str| {
            let (service, instance) = name.split_once('.').expect("a name");
            InstanceStatus {
                service: service.to_owned(),
                instance: instance.to_owned(),
                team: if service == "db" { "data" } else { "front" }.to_owned(),
                registrations: vec![format!("{service}.main")],
                ..InstanceStatus::default()
            }
        };
        StatusResponse {
            cluster: "demo".to_owned(),
            instances: names.map(one).to_vec(),
            ..StatusResponse::default()
        }
    }

    fn chosen(select: &Select) -> Vec<String> {
        let mut answer = answer();
        let choose = select.choose(&mut answer, &Groups::default());
        choose.expect("patterns are right");
        let names = answer.instances.iter();
        names
            .map(|one| format!("{}.{}", one.service, one.instance))
            .collect()
    }

    #[test]
    fn names_patterns_teams_and_registrations_choose() {
        let of = |service: &str| Select {
            service: Some(service.to_owned()),
            ..Select::default()
        };
        assert_eq!(chosen(&Select::default()).len(), 4);
        assert_eq!(chosen(&of("web*")).len(), 3);
        assert_eq!(chosen(&of("web")), ["web.main", "web.worker"]);
        assert_eq!(chosen(&of("d?")), ["db.main"]);
        assert_eq!(chosen(&of("w.b")), Vec::<String>::new());
        let mut one = of("web*");
        one.instances = vec!["ma*".to_owned()];
        assert_eq!(chosen(&one), ["web.main", "webapp.main"]);
        let team = Select {
            team: Some("data".to_owned()),
            ..Select::default()
        };
        assert_eq!(chosen(&team), ["db.main"]);
        let announced = Select {
            registration: Some("web.main".to_owned()),
            ..Select::default()
        };
        assert_eq!(chosen(&announced), ["web.main", "web.worker"]);
        let ids = Select {
            ids: vec![
                "db.main".parse().expect("an id"),
                "web.main".parse().expect("an id"),
            ],
            ..Select::default()
        };
        assert_eq!(chosen(&ids), ["web.main", "db.main"]);
        assert_eq!(ids.asked(), Default::default());
        // Nothing of these runs: none is as wanted, and none bounces.
        let not_ok = Select {
            not_ok: true,
            ..Select::default()
        };
        assert_eq!(chosen(&not_ok).len(), 4);
        let bouncing = Select {
            bouncing: true,
            ..Select::default()
        };
        assert!(chosen(&bouncing).is_empty());
    }

    #[test]
    fn what_can_be_asked_for_by_name_is() {
        let mut select = Select {
            service: Some("web".to_owned()),
            instances: vec!["main".to_owned()],
            ..Select::default()
        };
        assert_eq!(select.asked(), ("web".to_owned(), vec!["main".to_owned()]));
        select.instances = vec!["m*".to_owned()];
        assert_eq!(select.asked(), ("web".to_owned(), Vec::new()));
        select.service = Some("w*".to_owned());
        assert_eq!(select.asked(), Default::default());
        assert!(!select.is_named());
        select.clusters = vec!["prod".to_owned()];
        let refused = select.check_cluster("demo").expect_err("it is another");
        assert!(refused.to_string().contains("cluster demo, not of prod"));
    }
}
