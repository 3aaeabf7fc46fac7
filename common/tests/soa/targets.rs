//! What git is asked about.

use paasta_common::config::SystemConfig;

use crate::{service, soa};

#[test]
fn every_type_and_every_readable_cluster_is_asked_about() {
    let (_root, soa) = soa(&[
        (
            "web/marathon-prod.yaml",
            "_t: &t {deploy_group: '{cluster}.{instance}.{service}'}\nmain: {<<: *t, mem: nonsense}\nplain:\n",
        ),
        (
            "web/adhoc-prod.yaml",
            "batch: {deploy_group: prod.all, branch: old}\n",
        ),
        ("web/marathon-dev.yaml", "main: [\n"),
        ("web/marathon-SHARED.yaml", "shared: {}\n"),
        ("web/smartstack.yaml", "main: {}\n"),
    ]);
    let targets = soa.targets(&service(), &SystemConfig::default()).unwrap();
    let list: Vec<String> = targets
        .list
        .iter()
        .map(|one| {
            let branch = one.branch.as_deref().unwrap_or("-");
            format!(
                "{}.{} {} {branch}",
                one.cluster, one.instance, one.deploy_group
            )
        })
        .collect();
    assert_eq!(
        list,
        [
            "prod.batch prod.all old",
            "prod.main prod.main.web -",
            "prod.plain prod.plain -",
        ]
    );
    let unreadable: Vec<&str> = targets.unreadable.iter().map(|one| one.as_str()).collect();
    assert_eq!(unreadable, ["dev"]);
    assert_eq!(targets.problems[0].file, "web/marathon-dev.yaml");
}
