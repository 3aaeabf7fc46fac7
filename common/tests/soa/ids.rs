//! The ids of sample apps, which stay from version to version.

use crate::resolve::resolve;

/// A bounce of every instance at an upgrade would be the price of another id: these stay.
#[test]
fn ids_of_samples_are_what_they_were() {
    for (lines, id) in [
        ("cpus: 0.1", "2cf3b524"),
        ("instances: 3\nmem: 64\ndeploy_group: prod.all", "3ff6a527"),
        ("env: {A: b}\ncmd: sleep 1\ncontainer_port: 80", "a6df0df4"),
        ("gpus: 1\ndisk: 500\nargs: [worker]", "1a63b46f"),
        (
            "healthcheck_mode: http\nhealthcheck_uri: /health\npool: gpu",
            "860bcfcc",
        ),
        (
            "deploy_blacklist: [[region, us], [habitat, a]]\nulimit: {nofile: {soft: 10}}",
            "a4673305",
        ),
        (
            "constraints: [[habitat, GROUP_BY, 2]]\ncpu_burst_add: 0",
            "6af2446f",
        ),
    ] {
        let spec = resolve(lines, "").unwrap();
        let expected = format!("web.main.git3f2a9c0d.config{id}");
        assert_eq!(spec.app_id.as_str(), expected, "{lines}");
    }
}
