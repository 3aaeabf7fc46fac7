//! Reading both formats, and what git's refs deploy.

use super::*;

const SHA_A: &str = "aaaaaaaa1111111111111111111111111111aaaa";
const SHA_B: &str = "bbbbbbbb2222222222222222222222222222bbbb";

fn service() -> ServiceName {
    ServiceName::new("web").unwrap()
}

fn target(cluster: &str, instance: &str, group: &str) -> Target {
    Target {
        cluster: ClusterName::new(cluster).unwrap(),
        instance: InstanceName::new(instance).unwrap(),
        deploy_group: group.to_owned(),
        branch: None,
    }
}

fn of(deployments: &Deployments, target: &Target) -> Option<Deployment> {
    let group = &target.deploy_group;
    deployments.lookup(&service(), &target.cluster, &target.instance, group)
}

/// The state of `prod.main` in group `prod.all` that these refs give: sha, state, restart marker.
fn state(refs: &[(&str, &str)]) -> Option<(String, DesiredState, Option<String>)> {
    let refs = refs
        .iter()
        .map(|(name, sha)| ((*name).to_owned(), (*sha).to_owned()))
        .collect();
    let target = target("prod", "main", "prod.all");
    let found = of(
        &generate(&service(), std::slice::from_ref(&target), &refs),
        &target,
    )?;
    Some((found.git_sha, found.desired_state, found.force_bounce))
}

fn expect(
    sha: &str,
    state: DesiredState,
    marker: &str,
) -> Option<(String, DesiredState, Option<String>)> {
    let marker = (!marker.is_empty()).then(|| marker.to_owned());
    Some((sha.to_owned(), state, marker))
}

const DEPLOY_1: &str = "refs/tags/paasta-prod.all-20190101T000000-deploy";
const DEPLOY_2: &str = "refs/tags/paasta-prod.all-20190201T000000-deploy";
const DEPLOY_3: &str = "refs/tags/paasta-prod.all-20190301T000000-deploy";
const STOP: &str = "refs/tags/paasta-prod.main-20190115T000000-stop";
const START: &str = "refs/tags/paasta-prod.main-20190116T000000-start";
const BRANCH: &str = "refs/heads/paasta-prod.main";

#[test]
fn the_latest_deploy_tag_wins_and_controls_count_for_its_sha_only() {
    use DesiredState::{Start, Stop};
    assert_eq!(state(&[]), None);
    assert_eq!(state(&[(STOP, SHA_A)]), None);
    assert_eq!(state(&[(DEPLOY_1, SHA_A)]), expect(SHA_A, Start, ""));
    assert_eq!(
        state(&[(DEPLOY_1, SHA_A), (DEPLOY_2, SHA_B)]),
        expect(SHA_B, Start, "")
    );
    assert_eq!(
        state(&[(DEPLOY_1, SHA_A), (STOP, SHA_A)]),
        expect(SHA_A, Stop, "20190115T000000")
    );
    assert_eq!(
        state(&[(DEPLOY_1, SHA_A), (STOP, SHA_A), (START, SHA_A)]),
        expect(SHA_A, Start, "20190116T000000")
    );
    for unusual in [
        "refs/tags/prod.main-20190115T000000-stop",
        "refs/tags/paasta-paasta-prod.main-20190115T000000-stop",
    ] {
        let stopped = expect(SHA_A, Stop, "20190115T000000");
        assert_eq!(state(&[(DEPLOY_1, SHA_A), (unusual, SHA_A)]), stopped);
    }
    // A new deploy forgets the stop; deploying the stopped version again revives it.
    let forgotten = [(DEPLOY_1, SHA_A), (STOP, SHA_A), (DEPLOY_2, SHA_B)];
    assert_eq!(state(&forgotten), expect(SHA_B, Start, ""));
    let revived = [forgotten.as_slice(), &[(DEPLOY_3, SHA_A)]].concat();
    assert_eq!(state(&revived), expect(SHA_A, Stop, "20190115T000000"));
}

#[test]
fn the_branch_of_the_seed_era_speaks_where_no_tag_does() {
    use DesiredState::{Start, Stop};
    assert_eq!(state(&[(BRANCH, SHA_A)]), expect(SHA_A, Start, ""));
    assert_eq!(
        state(&[(BRANCH, SHA_A), (DEPLOY_1, SHA_B)]),
        expect(SHA_B, Start, "")
    );
    assert_eq!(
        state(&[(BRANCH, SHA_A), (STOP, SHA_A)]),
        expect(SHA_A, Stop, "20190115T000000")
    );
    // One instance's branch says nothing about the others of its group.
    let (main, canary) = (
        target("prod", "main", "prod.all"),
        target("prod", "canary", "prod.all"),
    );
    let refs = [(BRANCH.to_owned(), SHA_A.to_owned())].into();
    let found = generate(&service(), &[main.clone(), canary.clone()], &refs);
    assert_eq!(of(&found, &main).unwrap().git_sha, SHA_A);
    assert_eq!(of(&found, &canary), None);
    let mut renamed = main;
    renamed.branch = Some("old-name".to_owned());
    let refs = [("refs/heads/paasta-old-name".to_owned(), SHA_B.to_owned())].into();
    let found = generate(&service(), std::slice::from_ref(&renamed), &refs);
    assert_eq!(of(&found, &renamed).unwrap().git_sha, SHA_B);
}

#[test]
fn refs_that_only_look_alike_deploy_nothing() {
    for name in [
        "refs/tags/paasta-prod.all-20190101-deploy",
        "refs/tags/paasta-prod.all-2019010XT000000-deploy",
        "refs/tags/paasta-prod.all-20190101T000000-deployed",
        "refs/tags/paasta-prod.all2-20190101T000000-deploy",
        "refs/tags/paasta-xprod.all-20190101T000000-deploy",
        "refs/tags/prod.all-20190101T000000-deploy",
        "refs/heads/paasta-prod.main2",
        "refs/heads/prod.main",
    ] {
        assert_eq!(state(&[(name, SHA_A)]), None, "{name}");
    }
    let dashed = target("prod-west", "main-1", "prod-west.every-one");
    let tag = "refs/tags/paasta-prod-west.every-one-20190101T000000-deploy";
    let refs = [(tag.to_owned(), SHA_A.to_owned())].into();
    let found = generate(&service(), std::slice::from_ref(&dashed), &refs);
    assert_eq!(of(&found, &dashed).unwrap().git_sha, SHA_A);
}

#[test]
fn the_file_is_read_back_and_written_the_same() {
    let refs = [
        (DEPLOY_1.to_owned(), SHA_A.to_owned()),
        (STOP.to_owned(), SHA_A.to_owned()),
    ];
    let targets = [
        target("prod", "main", "prod.all"),
        target("dev", "main", "dev.main"),
    ];
    let made = generate(&service(), &targets, &refs.into());
    let text = made.to_text();
    let expected = serde_json::json!({
        "v1": {"web:paasta-prod.main": {
            "docker_image": format!("services-web:paasta-{SHA_A}"),
            "desired_state": "stop",
            "force_bounce": "20190115T000000",
        }},
        "v2": {
            "deployments": {"prod.all": {
                "docker_image": format!("services-web:paasta-{SHA_A}"),
                "git_sha": SHA_A,
            }},
            "controls": {"web:prod.main": {
                "desired_state": "stop",
                "force_bounce": "20190115T000000",
            }},
        },
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        expected
    );
    assert!(text.ends_with("}\n"));
    let again = Deployments::parse("web/deployments.json", &text).unwrap();
    assert_eq!((again.to_text(), &again), (text, &made));
}

#[test]
fn either_format_alone_is_enough_and_the_second_wins() {
    let main = target("prod", "main", "prod.all");
    let v1 = format!(
        r#"{{"v1": {{"web:paasta-prod.main": {{"docker_image": "services-web:paasta-{SHA_A}",
        "desired_state": "start", "force_bounce": null}}}}}}"#
    );
    let old = Deployments::parse("f", &v1).unwrap();
    let found = of(&old, &main).unwrap();
    assert_eq!((found.git_sha.as_str(), found.force_bounce), (SHA_A, None));
    let both = v1.trim_end_matches('}').to_owned()
        + &format!(
            r#"}}}}, "v2": {{"deployments": {{"prod.all": {{"docker_image":
            "services-web:paasta-{SHA_B}", "git_sha": "{SHA_B}"}}}}, "controls": {{}}}},
            "v3": {{}}}}"#
        );
    let both = Deployments::parse("f", &both).unwrap();
    assert_eq!(of(&both, &main).unwrap().git_sha, SHA_B);
    assert_eq!(of(&both, &target("prod", "other", "no.group")), None);
    assert!(Deployments::parse("f", "{}").unwrap().is_empty());
}

#[test]
fn a_damaged_file_is_named_with_its_place() {
    for (text, line, word) in [
        ("", 1, "EOF"),
        ("{\n\"v1\": [", 2, "map"),
        (
            "{\"v1\":\n {\"web:paasta-a.b\":\n {\"docker_image\": 5}}}",
            3,
            "string",
        ),
        (
            "{\"v1\": {\"x\": {\"docker_image\": \"i\",\n\"desired_state\": \"pause\"}}}",
            2,
            "expected `start` or `stop`",
        ),
    ] {
        let problem = Deployments::parse("web/deployments.json", text).unwrap_err();
        assert_eq!(problem.file, "web/deployments.json");
        assert_eq!(problem.line.unwrap_or(1), line, "{text}: {problem}");
        assert!(problem.message.contains(word), "{text}: {problem}");
    }
}

#[test]
fn what_could_not_be_read_stays_deployed() {
    let (prod, dev) = (
        target("prod", "main", "prod.all"),
        target("dev", "main", "dev.all"),
    );
    let refs = |group: &str, sha: &str| {
        let tag = format!("refs/tags/paasta-{group}-20190101T000000-deploy");
        (tag, sha.to_owned())
    };
    let both = [refs("prod.all", SHA_A), refs("dev.all", SHA_A)].into();
    let old = generate(&service(), &[prod.clone(), dev.clone()], &both);
    // Now the file of prod is broken: only dev can be read.
    let new_refs = [refs("prod.all", SHA_A), refs("dev.all", SHA_B)].into();
    let mut new = generate(&service(), std::slice::from_ref(&dev), &new_refs);
    assert_eq!(of(&new, &prod), None);
    new.keep(&old, &service(), std::slice::from_ref(&prod.cluster));
    assert_eq!(of(&new, &prod).unwrap().git_sha, SHA_A);
    assert_eq!(of(&new, &dev).unwrap().git_sha, SHA_B);
    let before = new.clone();
    new.keep(&old, &service(), &[]);
    assert_eq!(new, before);
}
