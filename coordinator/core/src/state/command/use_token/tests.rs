//! Every refusal of a token, and what a use changes.

use paasta_common::time::Timestamp;

use super::*;
use crate::{
    build::Cluster,
    state::command::{Command, CreateToken, RevokeToken},
};

const ENDS: Timestamp = Timestamp(1_600_000);

fn id(number: u64) -> TokenId {
    TokenId::from_bits(number)
}

fn create(number: u64, joiner: Joiner, uses: u32, replace: bool) -> Command {
    let principal = (joiner == Joiner::Person).then(|| "paasta://demo/reader/bob".parse().unwrap());
    Command::CreateToken(CreateToken {
        id: id(number),
        joiner,
        digest: SecretDigest([7; 32]),
        uses,
        expires: ENDS,
        principal,
        replace,
        note: String::new(),
    })
}

fn join(number: u64, joiner: Joiner, name: &str, key: u8) -> UseToken {
    UseToken {
        id: id(number),
        digest: SecretDigest([7; 32]),
        joiner,
        identity: format!("paasta://demo/{name}").parse().unwrap(),
        key: KeyDigest([key; 32]),
    }
}

fn refusal(cluster: &mut Cluster, join: UseToken) -> Reason {
    match cluster.apply(Command::UseToken(join)) {
        Outcome::Refused(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_use_is_counted_once_and_two_joins_cannot_share_it() {
    let mut cluster = Cluster::new(0);
    cluster.must(create(1, Joiner::Agent, 1, false));
    let first = join(1, Joiner::Agent, "agent/h1", 1);
    assert_eq!(
        cluster.apply(Command::UseToken(first.clone())),
        Outcome::Applied
    );
    // The answer was lost, and it is asked again.
    assert_eq!(
        cluster.apply(Command::UseToken(first.clone())),
        Outcome::Unchanged
    );
    let second = refusal(&mut cluster, join(1, Joiner::Agent, "agent/h2", 2));
    assert_eq!(second, Reason::TokenUsedUp { id: id(1) });
    let held = cluster.state.node(&first.identity).unwrap();
    assert_eq!((held.key, held.token.as_ref()), (first.key, Some(&id(1))));
    cluster.now = ENDS;
    let late = refusal(&mut cluster, first);
    assert_eq!(late, Reason::TokenUsedUp { id: id(1) }, "nor for ever");
}

#[test]
fn each_wrong_token_is_refused_by_its_own_reason() {
    let mut cluster = Cluster::new(0);
    cluster.must(create(1, Joiner::Agent, 5, false));
    cluster.must(create(2, Joiner::Agent, 5, false));
    cluster.must(Command::RevokeToken(RevokeToken { id: id(2) }));
    let unknown = refusal(&mut cluster, join(9, Joiner::Agent, "agent/h1", 1));
    assert_eq!(unknown, Reason::UnknownToken { id: id(9) });
    let mut forged = join(1, Joiner::Agent, "agent/h1", 1);
    forged.digest = SecretDigest([8; 32]);
    let forged = refusal(&mut cluster, forged);
    assert_eq!(forged, Reason::UnknownToken { id: id(1) });
    let revoked = refusal(&mut cluster, join(2, Joiner::Agent, "agent/h1", 1));
    assert_eq!(revoked, Reason::TokenRevoked { id: id(2) });
    for (joiner, name) in [
        (Joiner::Coordinator, "coordinator/4"),
        (Joiner::Agent, "coordinator/4"),
        (Joiner::Agent, "admin/eve"),
        (Joiner::Person, "admin/eve"),
    ] {
        let other = refusal(&mut cluster, join(1, joiner, name, 1));
        let takes = Joiner::Agent;
        let expected = Reason::TokenOfOther {
            id: id(1),
            takes,
            joiner,
        };
        assert_eq!(other, expected, "{name}");
    }
    let mut elsewhere = join(1, Joiner::Agent, "agent/h1", 1);
    elsewhere.identity = "paasta://stage/agent/h1".parse().unwrap();
    let elsewhere = refusal(&mut cluster, elsewhere);
    assert!(matches!(elsewhere, Reason::TokenOfOther { .. }));
    cluster.now = ENDS.after_ms(120_000);
    let expired = refusal(&mut cluster, join(1, Joiner::Agent, "agent/h1", 1));
    let minutes_ago = 2;
    assert_eq!(
        expired,
        Reason::TokenExpired {
            id: id(1),
            minutes_ago
        }
    );
    assert!(cluster.state.nodes().is_empty());
}

#[test]
fn a_name_belongs_to_its_key_unless_the_token_replaces_it() {
    let mut cluster = Cluster::new(0);
    cluster.must(create(1, Joiner::Agent, 5, false));
    cluster.must(create(2, Joiner::Agent, 5, true));
    cluster.must(Command::UseToken(join(1, Joiner::Agent, "agent/h1", 1)));
    let taken = refusal(&mut cluster, join(1, Joiner::Agent, "agent/h1", 2));
    assert_eq!(
        taken,
        Reason::NameTaken {
            name: "agent/h1".to_owned()
        }
    );
    assert_eq!(cluster.state.tokens()[&id(1)].uses_left, 4);
    cluster.must(Command::UseToken(join(2, Joiner::Agent, "agent/h1", 2)));
    let event = cluster.state.events().next_back().unwrap();
    assert!(event.text.contains("in the place of another key"));
}

#[test]
fn a_person_gets_what_the_token_names_and_nothing_else() {
    let mut cluster = Cluster::new(0);
    cluster.must(create(1, Joiner::Person, 2, false));
    let more = refusal(&mut cluster, join(1, Joiner::Person, "admin/bob", 1));
    assert!(matches!(more, Reason::TokenOfOther { .. }), "{more:?}");
    let first = Command::UseToken(join(1, Joiner::Person, "reader/bob", 1));
    assert_eq!(cluster.apply(first.clone()), Outcome::Applied);
    assert_eq!(cluster.apply(first), Outcome::Unchanged, "again");
    cluster.must(Command::UseToken(join(1, Joiner::Person, "reader/bob", 2)));
    let third = refusal(&mut cluster, join(1, Joiner::Person, "reader/bob", 3));
    assert_eq!(third, Reason::TokenUsedUp { id: id(1) });
}
