//! Which versions of a service a repository's refs give to this cluster, and which tags say so.

use std::collections::BTreeMap;

use paasta_common::{
    deployments::{
        Target, generate,
        tags::{Tags, deploy_tag},
    },
    id::{ClusterName, ServiceName},
};

use crate::state::{
    actor::Actor,
    versions::{Source, Versions},
};

/// The versions of `service` that `refs` (name to sha) give to `cluster`. `before` is what was
/// known, of which everything stays that concerns a cluster whose file could not be read. `told`
/// names who pushed a tag.
pub fn versions(
    service: &ServiceName,
    cluster: &ClusterName,
    (targets, unreadable): (&[Target], &[ClusterName]),
    refs: &BTreeMap<String, String>,
    before: Option<&Versions>,
    told: impl Fn(&str) -> Option<Actor>,
) -> Versions {
    let ours = |target: &&Target| target.cluster == *cluster;
    let targets: Vec<Target> = targets.iter().filter(ours).cloned().collect();
    let mut deployments = generate(service, &targets, refs);
    let mut sources = sources(&targets, refs);
    if let Some(before) = before {
        for source in sources.values_mut() {
            let same = before
                .sources
                .values()
                .find(|known| known.tag == source.tag);
            source.by = same.map_or_else(Actor::default, |known| known.by.clone());
        }
        if unreadable.contains(cluster) {
            deployments.keep(&before.deployments, service, unreadable);
            for (key, source) in &before.sources {
                sources.entry(key.clone()).or_insert_with(|| source.clone());
            }
        }
    }
    for source in sources.values_mut() {
        if let Some(by) = told(&source.tag) {
            source.by = by;
        }
    }
    Versions {
        deployments,
        sources,
    }
}

fn sources(targets: &[Target], refs: &BTreeMap<String, String>) -> BTreeMap<String, Source> {
    let tags = Tags::read(refs);
    let mut sources = BTreeMap::new();
    let source = |tag| Source {
        tag,
        by: Actor::default(),
    };
    for target in targets {
        let Some(deploy) = tags.latest(&target.deploy_group) else {
            continue;
        };
        let tag = deploy_tag(deploy.group, deploy.timestamp);
        sources.insert(target.deploy_group.clone(), source(tag));
        let own = format!("{}.{}", target.cluster, target.instance);
        if let Some(control) = tags.control(&own, deploy.sha) {
            let tag = control.name.to_owned();
            // A group may be called as the instance is: its deploys are told by its own name.
            sources
                .entry(format!("control:{own}"))
                .or_insert(source(tag));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(tags: &[(&str, char)]) -> BTreeMap<String, String> {
        let named = tags.iter();
        let full = named.map(|(tag, sha)| (format!("refs/tags/{tag}"), sha.to_string().repeat(40)));
        full.collect()
    }

    fn target(cluster: &str) -> Target {
        Target {
            cluster: cluster.parse().unwrap(),
            instance: "main".parse().unwrap(),
            deploy_group: format!("{cluster}.all"),
            branch: None,
        }
    }

    #[test]
    fn only_this_cluster_counts_and_tags_are_told_with_who_pushed_them() {
        let (service, cluster) = ("web".parse().unwrap(), "prod".parse().unwrap());
        let targets = [target("prod"), target("dev")];
        let refs = refs(&[
            ("paasta-prod.all-20200101T000000-deploy", 'a'),
            ("paasta-dev.all-20200101T000000-deploy", 'b'),
            ("paasta-prod.main-20200102T000000-stop", 'a'),
        ]);
        let told = |tag: &str| tag.ends_with("-stop").then(|| Actor::claimed("ada@host"));
        let found = versions(&service, &cluster, (&targets, &[]), &refs, None, told);
        let named: Vec<(&str, &str)> = found
            .sources
            .values()
            .map(|one| (one.tag.as_str(), one.by.claim()))
            .collect();
        assert_eq!(
            named,
            [
                ("paasta-prod.main-20200102T000000-stop", "ada@host"),
                ("paasta-prod.all-20200101T000000-deploy", ""),
            ]
        );
        assert!(!found.deployments.to_text().contains("dev"));
        // Who it was is remembered, and what cannot be read stays.
        let nobody = |_: &str| None;
        let again = versions(
            &service,
            &cluster,
            (&targets, &[]),
            &refs,
            Some(&found),
            nobody,
        );
        assert_eq!(again, found);
        let gone = (&targets[1..], std::slice::from_ref(&cluster));
        let kept = versions(&service, &cluster, gone, &refs, Some(&found), nobody);
        assert_eq!(kept, found);
        let dropped = versions(&service, &cluster, (&[], &[]), &refs, Some(&found), nobody);
        assert!(dropped.deployments.is_empty() && dropped.sources.is_empty());
    }
}
