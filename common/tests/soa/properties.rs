//! What holds of every instance, however it is written.

use paasta_common::{
    deployments::Deployment,
    id::InstanceId,
    soa::{self, marathon::INSTANCE},
    spec::DesiredState,
};
use proptest::{prelude::*, sample::select};

use crate::{cluster, name, service, soa as directory, system, write};

const VALUES: [&str; 20] = [
    "0",
    "1",
    "-1",
    "0.5",
    "1000000000000000000000",
    ".inf",
    "x",
    "''",
    "yes",
    "~",
    "[]",
    "[x]",
    "[[a, LIKE, b]]",
    "[x, [y]]",
    "{}",
    "{a: b}",
    "{a: {soft: 1}}",
    "cmd",
    "http",
    "/x",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// An instance is accepted or refused with a place and a reason; what is accepted resolves to
    /// the same app every time, or is refused with a reason.
    #[test]
    fn every_instance_gets_an_answer(
        given in prop::collection::btree_map(select(INSTANCE.keys().collect::<Vec<_>>()), select(&VALUES[..]), 1..6),
    ) {
        let lines: String = given.iter().map(|(key, value)| format!("  {key}: {value}\n")).collect();
        let (root, soa) = directory(&[]);
        write(root.path(), "web/marathon-prod.yaml", &format!("main:\n{lines}other: {{cpus: 1}}\n"));
        let system = system("cluster: prod\ndocker_registry: r\n");
        let load = soa.load(&service(), &cluster(), &system);
        prop_assert!(load.complete && load.instances[&name("other")].is_ok());
        let deployment = Deployment {
            docker_image: "services-web:paasta-3f2a9c0d".to_owned(),
            git_sha: "3f2a9c0d".to_owned(),
            desired_state: DesiredState::Start,
            force_bounce: None,
        };
        let id = InstanceId::new(service(), name("main"));
        match &load.instances[&name("main")] {
            Ok(config) => {
                let first = soa::resolve(&id, config, &deployment, &system);
                let second = soa::resolve(&id, config, &deployment, &system);
                prop_assert_eq!(&first, &second);
                if let Ok(spec) = first {
                    prop_assert!(spec.app.resources.cpus_milli > 0 && spec.app.resources.mem_mb > 32);
                }
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(problem.line.is_some(), "{}", problem);
                    prop_assert!(problem.field.starts_with("main"), "{}", problem);
                }
            }
        }
    }
}
