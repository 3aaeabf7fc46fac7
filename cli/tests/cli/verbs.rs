//! Invocations of every verb of `paasta`, for tests of what all of them have in common. A verb
//! without one fails a test of `marking/secrets.rs`.

/// A verb, and the options that it is run with: SERVICE, SHA, SOA, DIR and URL stand for a service
/// whose group `demo.all` deploys to cluster `demo`, a commit, the yelpsoa-configs directory, a
/// directory to write to and the URL of a repository.
pub(crate) const VERBS: &[(&str, &[&str])] = &[
    ("status", &["", "-s SERVICE -v", "-s SERVICE --stale"]),
    ("watch", &["SERVICE.main"]),
    ("top", &["", "--json"]),
    ("metastatus", &["-vvv", "-vv -g pool", "--stale"]),
    ("list", &["-i", "-a -d SOA"]),
    ("list-clusters", &["-d SOA"]),
    ("info", &["-s SERVICE -d SOA"]),
    ("why", &["SERVICE.main"]),
    ("events", &["-n 1000", "-i SERVICE.main --stale"]),
    (
        "logs",
        &["-s SERVICE -C deploy,monitoring -n 1000", "-s SERVICE"],
    ),
    (
        "exec",
        &["SERVICE.main -- true", "SERVICE.main -H host1 -- ls -l"],
    ),
    ("check-replication", &["--all", "SERVICE.main"]),
    ("maintenance drain", &["host1"]),
    ("maintenance undrain", &["host1"]),
    ("maintenance status", &["", "host1"]),
    ("maintenance remove", &["host1"]),
    ("backoff reset", &["SERVICE.main"]),
    ("brake status", &[""]),
    ("brake release", &["--yes"]),
    ("cleanup", &["--dry-run", "", "--force"]),
    ("auth list", &[""]),
    ("auth show", &["alice"]),
    ("auth grant", &["ci --role deployer --scope SERVICE"]),
    ("auth invite", &["ci --role deployer --scope SERVICE"]),
    (
        "auth revoke",
        &["ci", "agent/host1", "admin/alice --issued-before"],
    ),
    ("auth restore", &["agent/host1 --also-before"]),
    ("auth revoked", &["", "--stale"]),
    ("auth certificate", &[""]),
    ("login", &["TOKEN 127.0.0.1:1 --dir DIR/login"]),
    ("audit", &["", "--refused --about SERVICE"]),
    ("settings diff", &["", "--from 1"]),
    ("settings apply", &["--from 1 --yes"]),
    ("config show", &["", "--all --origin"]),
    ("context list", &[""]),
    ("context show", &["", "--json"]),
    ("context use", &["demo"]),
    ("context remove", &["demo"]),
    ("context add", &["demo --cluster demo"]),
    (
        "cluster init",
        &["--cluster demo --member 1=127.0.0.1:1 --timeout 300ms"],
    ),
    ("cluster node", &[""]),
    ("coordinator list", &["", "--stale"]),
    ("coordinator add", &["9=127.0.0.1:1 --wait 300ms"]),
    ("coordinator promote", &["9 --wait 300ms"]),
    ("coordinator remove", &["9 --yes --wait 300ms"]),
    ("coordinator transfer-leader", &["--wait 5s"]),
    ("token create", &["agent", "coordinator --ttl 1m --uses 2"]),
    ("token list", &[""]),
    ("token revoke", &["abcd234"]),
    ("snapshot save", &["DIR/snapshot"]),
    ("snapshot inspect", &["DIR/snapshot"]),
    ("bounce status", &["", "SERVICE.main"]),
    ("bounce resume", &["SERVICE.main"]),
    ("bounce rollback", &["SERVICE.main"]),
    ("bounce force", &["SERVICE.main"]),
    ("bounce plan", &["--input SOA/SERVICE/service.yaml"]),
    (
        "mark-for-deployment",
        &[
            "-s SERVICE -l demo.all -k SHA -d SOA --retry-pause 1ms",
            "-s SERVICE -l demo.all -k SHA -d SOA --retry-pause 1ms -u URL",
            "-s SERVICE -l demo.all -k SHA -d SOA --retry-pause 1ms --wait-for-deployment -t 1",
        ],
    ),
    (
        "wait-for-deployment",
        &[
            "-s SERVICE -l demo.all -k SHA -d SOA -t 1",
            "-s SERVICE -l demo.all -k SHA -d SOA -t 1 -u URL",
        ],
    ),
    (
        "rollback",
        &[
            "-s SERVICE -d SOA --retry-pause 1ms",
            "-s SERVICE -l demo.all -k SHA -d SOA --retry-pause 1ms",
        ],
    ),
    ("list-deployments", &["-s SERVICE -d SOA"]),
    ("get-latest-deployment", &["-s SERVICE -l demo.all -d SOA"]),
    (
        "start",
        &["-s SERVICE -c demo -i main -d SOA --retry-pause 1ms"],
    ),
    (
        "stop",
        &["-s SERVICE -c demo -i main -d SOA --retry-pause 1ms"],
    ),
    (
        "restart",
        &["-s SERVICE -l demo.all -d SOA --retry-pause 1ms"],
    ),
    ("history", &["SERVICE.main"]),
    ("emergency-stop", &["-s SERVICE -i main"]),
    ("emergency-start", &["-s SERVICE -i main"]),
    ("emergency-restart", &["-s SERVICE -i main"]),
    ("emergency-scale", &["-s SERVICE -i main -n 2"]),
    (
        "autoscale",
        &["-s SERVICE", "-s SERVICE --set 2", "-s SERVICE --clear"],
    ),
    ("generate-deployments", &["-s SERVICE -d SOA", "--status"]),
    ("check", &["-s SERVICE -d SOA"]),
    ("cook-image", &["-s SERVICE -d SOA"]),
    ("itest", &["-s SERVICE -c SHA -d SOA"]),
    ("security-check", &["-s SERVICE -c SHA -d SOA"]),
    ("push-to-registry", &["-s SERVICE -c SHA -d SOA"]),
    (
        "local-run",
        &[
            "-s SERVICE -i main -d SOA --dry-run",
            "-s SERVICE -i main -d SOA --pull --dry-run",
        ],
    ),
    ("plan", &["-y SOA", "-y SOA -s SERVICE --markdown"]),
    ("validate", &["-y SOA", "-s SERVICE -y SOA --strict"]),
    (
        "new-service",
        &[
            "fresh --git-url URL --team web --cluster demo -d DIR --dry-run",
            "fresh --git-url URL --team web --cluster demo -d DIR",
        ],
    ),
    ("pipeline", &["-s SERVICE --format github -d SOA"]),
    ("completions", &["bash", "-- paasta status -s "]),
    ("man", &["DIR/man"]),
    ("version", &[""]),
];

/// An invocation as words, what stands for a value replaced by it.
pub(crate) fn words(verb: &str, options: &str, values: &[(&str, &str)]) -> Vec<String> {
    let replaced = |word: &str| {
        values.iter().fold(word.to_owned(), |word, (name, value)| {
            word.replace(name, value)
        })
    };
    let all = verb.split_whitespace().chain(options.split_whitespace());
    all.map(replaced).collect()
}
