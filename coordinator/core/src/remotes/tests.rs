//! Whose turn it is, by stories with a clock of their own.

use super::*;

const PACE: Pace = Pace {
    every_ms: 10_000,
    retry_max_ms: 300_000,
    at_once: 8,
};

fn service(number: usize) -> ServiceName {
    format!("s{number:04}").parse().unwrap()
}

fn failed(timed_out: bool) -> Answer {
    Answer::Failed {
        error: "no".to_owned(),
        timed_out,
    }
}

/// As many services on one server each.
fn remotes(servers: &[(&str, usize)]) -> Remotes {
    let mut remotes = Remotes::new(PACE);
    let urls = servers
        .iter()
        .flat_map(|(server, count)| std::iter::repeat_n(server, *count));
    for (number, server) in urls.enumerate() {
        let url = format!("git@{server}:services/{number}");
        remotes.add(service(number), url, Timestamp(0), 0);
    }
    remotes
}

fn answered() -> Answer {
    Answer::Answered {
        warning: String::new(),
    }
}

#[test]
fn each_is_asked_in_turn_and_again_after_a_while() {
    let mut remotes = remotes(&[("a", 2)]);
    assert_eq!(remotes.take_due(Timestamp(0)), [service(0), service(1)]);
    assert_eq!(remotes.take_due(Timestamp(0)), []);
    assert_eq!(remotes.wake_at(), None);
    remotes.done(&service(1), "git@a:x", answered(), Timestamp(100), 0);
    assert_eq!(remotes.wake_at(), Some(Timestamp(10_100)));
    assert_eq!(remotes.take_due(Timestamp(10_099)), []);
    assert_eq!(remotes.take_due(Timestamp(10_100)), [service(1)]);
}

#[test]
fn one_that_does_not_answer_is_asked_ever_more_rarely_and_no_two_in_step() {
    let delays: Vec<u64> = (0..8)
        .map(|failures| delay(PACE, failures, 0) / 1000)
        .collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(delay(PACE, u32::MAX, 0), 300_000);
    assert!(delay(PACE, 0, 999) > 11_900 && delay(PACE, 0, 999) < 12_000);
    let mut remotes = remotes(&[("a", 1)]);
    remotes.take_due(Timestamp(0));
    remotes.done(&service(0), "git@a:x", failed(false), Timestamp(0), 0);
    let (_, remote) = remotes.iter().next().unwrap();
    assert_eq!((remote.failures, remote.error.as_str()), (1, "no"));
    assert_eq!(remotes.wake_at(), Some(Timestamp(20_000)));
    remotes.take_due(Timestamp(20_000));
    remotes.done(&service(0), "git@a:x", answered(), Timestamp(20_000), 0);
    let (_, remote) = remotes.iter().next().unwrap();
    assert_eq!((remote.failures, remote.error.as_str()), (0, ""));
}

#[test]
fn a_server_that_hangs_keeps_nobody_waiting() {
    // A thousand services on a server that never answers, before ten on one that does.
    let mut remotes = remotes(&[("dead", 1_000), ("well", 10)]);
    let first = remotes.take_due(Timestamp(0));
    let well = |taken: &[ServiceName]| taken.iter().filter(|one| **one >= service(1_000)).count();
    assert_eq!(
        (first.len(), well(&first)),
        (8, 2),
        "a quarter is left for others"
    );
    for one in first.iter().filter(|one| **one < service(1_000)) {
        remotes.done(one, "git@dead:x", failed(true), Timestamp(30_000), 0);
    }
    for one in first.iter().filter(|one| **one >= service(1_000)) {
        remotes.done(one, "git@well:x", answered(), Timestamp(30_000), 0);
    }
    // From now on it has one call at a time.
    let second = remotes.take_due(Timestamp(30_000));
    assert_eq!((second.len(), well(&second)), (7, 6), "{second:?}");
    // And all of them as soon as it answers one.
    let dead = second.iter().find(|one| **one < service(1_000)).unwrap();
    remotes.done(dead, "git@dead:x", failed(false), Timestamp(31_000), 0);
    let third = remotes.take_due(Timestamp(31_000));
    assert_eq!(third.len(), 2, "as many as there is room for: {third:?}");
}

#[test]
fn who_is_poked_is_next_also_while_being_asked() {
    let mut remotes = remotes(&[("a", 3)]);
    for one in remotes.take_due(Timestamp(0)) {
        remotes.done(&one, "git@a:x", answered(), Timestamp(0), 0);
    }
    assert!(remotes.poke(&service(2)) && !remotes.poke(&service(9)));
    assert_eq!(remotes.take_due(Timestamp(1_005)), [service(2)]);
    // What was pushed after the question may not be in its answer.
    remotes.poke(&service(2));
    let then = Timestamp(1_006);
    remotes.done(&service(2), "git@a:x", answered(), then, 0);
    assert_eq!(remotes.take_due(Timestamp(2_005)), [service(2)]);
}

#[test]
fn a_burst_of_pokes_costs_two_questions() {
    let mut remotes = remotes(&[("a", 1)]);
    remotes.take_due(Timestamp(0));
    remotes.done(&service(0), "git@a:x", answered(), Timestamp(1), 0);
    let mut asked = Vec::new();
    for now in 3_000..3_500 {
        assert!(remotes.poke(&service(0)));
        for one in remotes.take_due(Timestamp(now)) {
            asked.push(now);
            remotes.done(&one, "git@a:x", answered(), Timestamp(now), 0);
        }
    }
    for now in 3_500..13_000 {
        for one in remotes.take_due(Timestamp(now)) {
            asked.push(now);
            remotes.done(&one, "git@a:x", answered(), Timestamp(now), 0);
        }
    }
    assert_eq!(asked, [3_000, 4_000]);
}

#[test]
fn services_come_and_go() {
    let mut remotes = remotes(&[("a", 2)]);
    let declared = [service(1), service(7)];
    assert_eq!(remotes.missing(&declared), [service(7)]);
    remotes.take_due(Timestamp(0));
    remotes.retain(&declared);
    // The answer of one that is gone is nobody's.
    remotes.done(&service(0), "git@a:x", answered(), Timestamp(1), 0);
    assert_eq!(
        remotes
            .iter()
            .map(|(service, _)| service)
            .collect::<Vec<_>>(),
        [&service(1)]
    );
}

#[test]
fn a_server_is_told_from_its_urls() {
    for (url, expected) in [
        ("git@git.example.com:services/web", "git.example.com"),
        ("git.example.com:web", "git.example.com"),
        ("ssh://git@git.example.com:22/web.git", "git.example.com:22"),
        ("https://git.example.com/web", "git.example.com"),
        ("git://git.example.com", "git.example.com"),
        ("file:///srv/web.git", "file:///srv/web.git"),
        ("/srv/web:1.git", "/srv/web:1.git"),
        ("", ""),
    ] {
        assert_eq!(server(url), expected, "{url}");
    }
}
