//! The names of images that we take are those that Docker takes.

use std::process::{Command, Stdio};

use paasta_common::image::ImageName;

use crate::world::World;

#[test]
fn a_name_is_taken_exactly_when_docker_takes_it() {
    let world = World::asleep();
    let (long_tag, too_long_tag) = ("t".repeat(128), "t".repeat(129));
    let cases = [
        "paasta-name-a",
        "a/paasta-name:1",
        "localhost/a/paasta-name:1",
        "reg:5000/s-a:paasta-3f2a",
        "Reg.x/a",
        "r.example.com/a__b/c--d.e:X_1.-",
        &format!("r.x/a:{long_tag}"),
        &format!("r.x/a:{too_long_tag}"),
        "A",
        "a/B",
        "r.x/a//b",
        "/a",
        "r.x/a/",
        "r.x/a:",
        "r.x/a: b",
        "r.x/a b",
        "-a",
        "r.x/a-",
        "r.x/a..b",
        "r.x/a___b",
        "r.x/a:-t",
        "r.x:70000x/a",
        "http://r.x/a",
    ];
    let docker = |words: &[&str]| {
        let mut command = Command::new("docker");
        command.args(words).stdout(Stdio::null());
        command.stderr(Stdio::null()).status().unwrap().success()
    };
    for text in cases {
        let theirs = docker(&["tag", &world.image, text]);
        if theirs {
            assert!(docker(&["rmi", text]), "{text} stays");
        }
        let ours = ImageName::new(text);
        assert_eq!(ours.is_ok(), theirs, "{text}: {ours:?}");
    }
}
