//! The names that exist: of the clusters that answer at once, else of the yelpsoa-configs directory.

use std::{collections::BTreeSet, time::Duration};

use paasta_common::soa::SoaDir;
use paasta_identity::context::Contexts;
use paasta_proto::v1::{MetastatusRequest, admin_client::AdminClient};
use tokio::{task::JoinSet, time::timeout};

use super::kind::{Kind, Wanted};
use crate::{
    client::{ANSWER_BYTES_MAX, Coordinators, request},
    cmd::{Context, fleet, names as declared},
};

/// How long a person who pressed Tab waits.
const DEADLINE: Duration = Duration::from_millis(300);

/// The names of a kind, sorted. Without an answer, without a name: an error would be in the way.
pub(super) async fn names(wanted: &Wanted, context: &Context) -> BTreeSet<String> {
    match wanted.kind {
        Kind::Context => {
            let all = Contexts::of_user().and_then(|contexts| contexts.list());
            let all = all.unwrap_or_default();
            all.iter().map(ToString::to_string).collect()
        }
        Kind::Cluster => {
            let targets = fleet::targets(context, &[]).unwrap_or_default();
            let configured = targets.into_iter().map(|target| target.name);
            configured.chain(of_files(wanted, context)).collect()
        }
        Kind::Group => of_files(wanted, context),
        Kind::Service | Kind::Instance | Kind::Id | Kind::Host => {
            let asked = ask(wanted.kind, context).await;
            match asked.is_empty() {
                true => of_files(wanted, context),
                false => asked
                    .into_iter()
                    .filter_map(|id| part(&id, wanted))
                    .collect(),
            }
        }
    }
}

/// The names that the clusters say: instances as `SERVICE.INSTANCE`, or hosts.
async fn ask(kind: Kind, context: &Context) -> BTreeSet<String> {
    let mut asked = JoinSet::new();
    for coordinators in fleet::coordinators(context, DEADLINE) {
        asked.spawn(timeout(DEADLINE, one(kind, coordinators.once())));
    }
    let mut names = BTreeSet::new();
    while let Some(answer) = asked.join_next().await {
        names.extend(answer.into_iter().flatten().flatten());
    }
    names
}

async fn one(kind: Kind, mut coordinators: Coordinators) -> Vec<String> {
    if kind != Kind::Host {
        let all = declared::all(&mut coordinators, "", true).await;
        return all.map(|all| all.instances).unwrap_or_default();
    }
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(MetastatusRequest { stale: true }, DEADLINE);
        async move { admin.metastatus(ask).await }
    });
    let hosts = answer.await.map(|answer| answer.hosts).unwrap_or_default();
    hosts.into_iter().map(|host| host.id).collect()
}

/// The part of a name that is wanted; none of another service's.
fn part(id: &str, wanted: &Wanted) -> Option<String> {
    let split = || id.split_once('.');
    match wanted.kind {
        Kind::Service => split().map(|(service, _)| service.to_owned()),
        Kind::Instance => {
            let (service, instance) = split()?;
            let of_it = wanted.service.as_deref().is_none_or(|of| of == service);
            of_it.then(|| instance.to_owned())
        }
        Kind::Id | Kind::Host | Kind::Cluster | Kind::Group | Kind::Context => Some(id.to_owned()),
    }
}

/// The names of a kind in the yelpsoa-configs directory.
fn of_files(wanted: &Wanted, context: &Context) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (Ok(system), Ok(path)) = (context.system(), context.soa_dir(None)) else {
        return names;
    };
    let Ok(soa) = SoaDir::open(path) else {
        return names;
    };
    for service in soa.services().unwrap_or_default() {
        let of_it = wanted
            .service
            .as_deref()
            .is_none_or(|of| of == service.as_str());
        if wanted.kind == Kind::Service {
            names.insert(service.to_string());
        } else if of_it && wanted.kind != Kind::Host {
            let targets = soa.targets(&service, &system);
            for target in targets.map(|targets| targets.list).unwrap_or_default() {
                names.insert(match wanted.kind {
                    Kind::Cluster => target.cluster.to_string(),
                    Kind::Group => target.deploy_group,
                    Kind::Id => format!("{service}.{}", target.instance),
                    Kind::Service | Kind::Instance | Kind::Host | Kind::Context => {
                        target.instance.to_string()
                    }
                });
            }
        }
    }
    names
}
