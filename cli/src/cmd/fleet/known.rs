//! Which clusters are configured, and which of them a command asks.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, ContextName},
};
use paasta_identity::context::Contexts;
use paasta_process::config;

use crate::{
    args::Global,
    client::{Address, Coordinators},
    cmd::{Context, names, status::select::check_cluster},
};

/// How long one of several clusters is asked, unless `--timeout` is given: the others wait for
/// their turn on the screen.
const SEVERAL: Duration = Duration::from_secs(3);

/// A cluster, and the options that reach it.
#[derive(Debug, Clone)]
pub(in crate::cmd) struct Target {
    /// Its name; of a context that cannot be read, the context's.
    pub(in crate::cmd) name: String,
    /// The options.
    pub(in crate::cmd) global: Global,
}

/// The clusters to ask, sorted by name; none when there is only what the options say. Of several
/// contexts of one cluster the current one counts, else the first by name.
///
/// # Errors
/// A cluster of `chosen` is not configured, or a configuration cannot be read.
pub(in crate::cmd) fn targets(context: &Context, chosen: &[String]) -> anyhow::Result<Vec<Target>> {
    if is_explicit(&context.global) {
        return Ok(Vec::new());
    }
    let known = known(context)?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: Vec<Target> = match chosen.is_empty() {
        true => known.into_values().collect(),
        false => {
            let pick = |name: &String| pick(name, &known, context);
            chosen.iter().map(pick).collect::<anyhow::Result<_>>()?
        }
    };
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.dedup_by(|one, other| one.name == other.name);
    let limit = timeout(context, found.len());
    for target in &mut found {
        target.global.timeout = limit;
    }
    Ok(found)
}

/// The options that reach a cluster, unless those of the command line say how.
///
/// # Errors
/// A configuration cannot be read.
pub(in crate::cmd) fn of_cluster(
    context: &Context,
    cluster: &ClusterName,
) -> anyhow::Result<Option<Global>> {
    if is_explicit(&context.global) {
        return Ok(None);
    }
    Ok(known(context)?
        .remove(cluster.as_str())
        .map(|one| one.global))
}

/// How long each of so many clusters is asked.
pub(in crate::cmd) fn timeout(context: &Context, clusters: usize) -> Duration {
    match clusters > 1 && !context.global.timeout_given {
        true => SEVERAL.min(context.global.timeout),
        false => context.global.timeout,
    }
}

fn is_explicit(options: &Global) -> bool {
    options.context.is_some() || options.socket.is_some() || !options.coordinators.is_empty()
}

/// The context to change something in one cluster: the one that is named, whose coordinators must
/// say that they are of it, else what the options and the current context say.
///
/// # Errors
/// The cluster is not configured, its coordinators do not answer, or they are of another one.
pub(in crate::cmd) async fn one(
    context: &Context,
    cluster: Option<&str>,
) -> anyhow::Result<Context> {
    let Some(cluster) = cluster else {
        return Ok(context.clone());
    };
    let chosen = [cluster.to_owned()];
    let (name, context) = match targets(context, &chosen)?.pop() {
        None => (cluster.to_owned(), context.clone()),
        Some(target) => {
            let global = target.global;
            let own = Context {
                global,
                ..context.clone()
            };
            (target.name, own)
        }
    };
    let mut coordinators = context.coordinators()?;
    let found = names::cluster(&mut coordinators).await?;
    check_cluster(&[name], &found)?;
    Ok(context)
}

/// The coordinators of each cluster that is configured, for what is not worth an error: what cannot
/// be reached is left out.
pub(in crate::cmd) fn coordinators(context: &Context, limit: Duration) -> Vec<Coordinators> {
    let targets = targets(context, &[]).unwrap_or_default();
    if targets.is_empty() {
        let addresses = context.known_addresses();
        let reached = addresses.and_then(|addresses| context.reaching(addresses, limit));
        return reached.into_iter().collect();
    }
    let reach = |target: Target| {
        let own = Context {
            global: target.global,
            ..context.clone()
        };
        own.reaching(own.addresses().ok()?, limit).ok()
    };
    targets.into_iter().filter_map(reach).collect()
}

/// Every cluster that a context or the system configuration names.
fn known(context: &Context) -> anyhow::Result<BTreeMap<String, Target>> {
    let mut known = BTreeMap::new();
    // Without a home there are no contexts.
    if let Ok(contexts) = Contexts::of_user() {
        let current = contexts.current()?;
        let mut names = contexts.list()?;
        names.sort_by_key(|name| Some(name) != current.as_ref());
        for name in names {
            let cluster = contexts
                .load(&name)
                .map(|loaded| loaded.cluster.to_string());
            let cluster = cluster.unwrap_or_else(|_| name.to_string());
            add(&mut known, cluster, by_context(&context.global, name));
        }
    }
    let system = system(context, !known.is_empty());
    for (cluster, addresses) in &system.cli.clusters {
        let global = by_addresses(&context.global, addresses)
            .with_context(|| format!("cli.clusters.{cluster} in the configuration"))?;
        add(&mut known, cluster.to_string(), global);
    }
    if let (Some(own), false) = (&system.cluster, known.is_empty()) {
        let global = by_addresses(&context.global, &system.cli.coordinators)
            .context("cli.coordinators in the configuration")?;
        add(&mut known, own.to_string(), global);
    }
    Ok(known)
}

/// Adds a cluster, unless it is known.
fn add(known: &mut BTreeMap<String, Target>, name: String, global: Global) {
    let target = Target {
        name: name.clone(),
        global,
    };
    known.entry(name).or_insert(target);
}

/// The system configuration. One that cannot be read is the verb's to report, unless there are
/// contexts, which can be asked all the same.
fn system(context: &Context, contexts: bool) -> SystemConfig {
    context.system().unwrap_or_else(|error| {
        let directory = config::directory(context.global.config_dir.as_deref());
        if contexts && directory.exists() {
            context.note(&format!(
                "only the clusters of contexts are asked: {error:#}"
            ));
        }
        SystemConfig::default()
    })
}

fn by_context(global: &Global, name: ContextName) -> Global {
    Global {
        context: Some(name),
        // Those of the environment are of one cluster.
        tls_ca: None,
        tls_cert: None,
        tls_key: None,
        ..global.clone()
    }
}

fn by_addresses(global: &Global, addresses: &[String]) -> anyhow::Result<Global> {
    let addresses = addresses.iter().map(|text| text.parse::<Address>());
    Ok(Global {
        coordinators: addresses.collect::<Result<_, _>>()?,
        ..global.clone()
    })
}

/// A cluster by its name, or by that of its context.
fn pick(name: &str, known: &BTreeMap<String, Target>, context: &Context) -> anyhow::Result<Target> {
    if let Some(target) = known.get(name) {
        return Ok(target.clone());
    }
    if let (Ok(contexts), Ok(of_context)) = (Contexts::of_user(), ContextName::new(name))
        && contexts.list()?.contains(&of_context)
    {
        return Ok(Target {
            name: contexts.load(&of_context)?.cluster.to_string(),
            global: by_context(&context.global, of_context),
        });
    }
    let hint = names::hint(name, known.keys().map(String::as_str));
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    anyhow::bail!(
        "no cluster or context {name} is configured{hint} (there are {}): `paasta context add` \
         makes a context, and cli.clusters in the configuration names coordinators",
        known.join(", ")
    )
}
