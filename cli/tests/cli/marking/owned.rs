//! Stopping and starting the instances of a team, or of a registration.

use super::*;

#[test]
fn the_instances_of_a_team_or_a_registration_are_stopped() {
    let world = World::new();
    let first = world.commit("one");
    world.run(&mark(&first, &[])).exits(0);
    world.write("soa/hello/monitoring.yaml", "team: front\n");
    world.write(
        "soa/other/marathon-demo.yaml",
        "api: {deploy_group: demo.all, registrations: [hello.main]}\n",
    );
    world.write("soa/other/monitoring.yaml", "team: back\n");
    let state = |instance: &str| world.generated(instance).1;

    let stop = ["stop", "-o", "front", "-c", "demo", "-i", "main", "--json"];
    let stopped = world.run(&stop).exits(0);
    let json = stopped.json();
    assert_eq!(
        (&json[0]["service"], json[1].is_null()),
        (&"hello".into(), true)
    );
    assert_eq!(
        (state("main"), state("worker")),
        ("stop".to_owned(), "start".to_owned())
    );

    // Only `main` is announced as hello.main, beside an instance of another service.
    let several = world.run(&["start", "-r", "hello.main"]).exits(1);
    assert!(
        several
            .stderr
            .contains("several services match (hello, other): name one by -s"),
        "{several:?}"
    );
    assert_eq!(state("main"), "stop");
    world
        .run(&["start", "-r", "hello.main", "-s", "hello"])
        .exits(0);
    assert_eq!(state("main"), "start");

    let none = world.run(&["stop", "-o", "nowhere"]).exits(1);
    assert!(none.stderr.contains("matches -o nowhere"), "{none:?}");
}
