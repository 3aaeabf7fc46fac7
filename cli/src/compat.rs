//! The command line of PaaSTA, verb by verb and flag by flag, and what becomes of it here. A test
//! tries every line, and `docs/reference/paasta-cli.md` is made of this table.

use std::ffi::OsString;

/// What becomes of a flag of PaaSTA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, and means the same.
    Same,
    /// Taken, with a difference: which.
    Differs(&'static str),
    /// Refused: what to use instead.
    Instead(&'static str),
}

use Verdict::{Differs, Instead, Same};

/// A verb of PaaSTA that is here, and its flags as they are given to `base`.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// What any call needs.
    pub base: &'static str,
    /// Flags with an argument, and what becomes of them.
    pub flags: &'static [(&'static str, Verdict)],
}

impl Verb {
    /// Whether the flag is taken, whatever its argument.
    fn takes(&self, flag: &str) -> bool {
        let mut taken = self.flags.iter();
        taken.any(|(line, verdict)| {
            !matches!(verdict, Instead(_)) && line.split(' ').next() == Some(flag)
        })
    }
}

/// Every verb of PaaSTA that is here.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "mark-for-deployment",
        base: "-s web -l prod -k 3f2a9c0d",
        flags: &[
            ("-u git@host:web", Same),
            ("--git-url git@host:web", Same),
            ("-d /soa", Same),
            ("--soa-dir /soa", Same),
            ("-v", Same),
            ("--verify-image-exists", Same),
            ("--wait-for-deployment", Same),
            ("--wait-for-deployment -t 3600", Same),
            ("--wait-for-deployment --timeout 3600", Same),
            ("--wait-for-deployment --auto-rollback", Same),
            (
                "--auto-certify-delay 60",
                Instead("nothing: a deploy counts as done when it is"),
            ),
            (
                "--auto-abandon-delay 600",
                Instead("-t: it goes back when the wait is over"),
            ),
            (
                "--auto-rollback-delay 30",
                Instead("nothing: --auto-rollback goes back at once"),
            ),
        ],
    },
    Verb {
        name: "wait-for-deployment",
        base: "-s web -l prod -k 3f2a9c0d",
        flags: &[
            ("-u git@host:web", Same),
            ("-t 3600", Same),
            ("--timeout 3600", Same),
            ("-d /soa", Same),
            ("-v", Same),
        ],
    },
    Verb {
        name: "rollback",
        base: "-s web",
        flags: &[
            ("-k 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("--commit 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("-l prod,canary", Same),
            ("--deploy-groups prod,canary", Same),
            ("-f", Same),
            ("--force", Same),
            ("-y /soa", Same),
            ("-d /soa", Same),
        ],
    },
    Verb {
        name: "start",
        base: "-s web",
        flags: CONTROL,
    },
    Verb {
        name: "stop",
        base: "-s web",
        flags: CONTROL,
    },
    Verb {
        name: "restart",
        base: "-s web",
        flags: CONTROL,
    },
    Verb {
        name: "emergency-stop",
        base: "-s web -i main",
        flags: EMERGENCY,
    },
    Verb {
        name: "emergency-start",
        base: "-s web -i main",
        flags: EMERGENCY,
    },
    Verb {
        name: "emergency-restart",
        base: "-s web -i main",
        flags: EMERGENCY,
    },
    Verb {
        name: "emergency-scale",
        base: "-s web -i main",
        flags: &[
            ("--delta 2", Same),
            ("--delta -2", Same),
            ("-c prod --delta 2", Same),
            (
                "-a web.main.git1.config1 --delta 2",
                Instead("nothing: it scales the desired app"),
            ),
            ("-y --delta 2", Instead("nothing: it does not ask")),
        ],
    },
    Verb {
        name: "autoscale",
        base: "-s web",
        flags: &[
            ("-i main", Same),
            ("-c prod", Same),
            (
                "--set 3",
                Differs("pins the number, until --clear or the next deploy"),
            ),
        ],
    },
    Verb {
        name: "itest",
        base: "-s web -c 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d",
        flags: &[("-d /soa", Same), ("--timeout 3600", Same)],
    },
    Verb {
        name: "cook-image",
        base: "-s web",
        flags: &[("-y /soa", Same)],
    },
    Verb {
        name: "push-to-registry",
        base: "-s web",
        flags: &[
            ("-c 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("-k 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("-c 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d -f", Same),
        ],
    },
    Verb {
        name: "security-check",
        base: "-s web",
        flags: &[
            ("-c 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("-k 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
        ],
    },
    Verb {
        name: "get-latest-deployment",
        base: "-s web -l prod",
        flags: &[("-d /soa", Same)],
    },
    Verb {
        name: "status",
        base: "",
        flags: &[
            ("-s web", Same),
            ("--service web", Same),
            ("-s web -i main,worker", Same),
            ("-s web --instances main", Same),
            ("-s web --instance main", Same),
            ("-c prod", Same),
            ("--clusters prod", Same),
            ("--cluster prod", Same),
            ("-l prod", Same),
            ("--deploy-group prod", Same),
            ("-o front", Same),
            ("--owner front", Same),
            ("-r web.main", Same),
            ("--registration web.main", Same),
            ("-d /soa", Same),
            ("-v", Same),
            ("-vv", Same),
            ("-vvv", Same),
        ],
    },
    Verb {
        name: "metastatus",
        base: "",
        flags: &[
            ("-c prod", Same),
            ("-v", Same),
            ("-vv", Same),
            ("-vvv", Same),
            ("-g region", Same),
            ("-a", Instead("paasta list -i, or paasta status")),
            (
                "-s web -i main",
                Instead("paasta why web.main says what room it lacks"),
            ),
            ("--use-mesos-cache", Instead("nothing: there is no Mesos")),
        ],
    },
    Verb {
        name: "list",
        base: "",
        flags: &[
            ("-a", Same),
            ("--all", Same),
            ("-i", Same),
            ("-d /soa", Same),
            ("-y /soa", Same),
            ("-i -d /soa", Same),
        ],
    },
    Verb {
        name: "list-clusters",
        base: "",
        flags: &[("-d /soa", Same), ("-y /soa", Same)],
    },
    Verb {
        name: "info",
        base: "-s web",
        flags: &[("-d /soa", Same), ("-y /soa", Same)],
    },
    Verb {
        name: "logs",
        base: "-s web",
        flags: &[
            ("-c prod", Same),
            ("--clusters prod", Same),
            ("-c prod,dev", Same),
            ("-i main", Same),
            ("--instances main,worker", Same),
            ("-C stdout,stderr", Same),
            ("--components deploy,monitoring", Same),
            (
                "-C build,oom",
                Differs("lines of builds are in CI, kills for memory in deploy"),
            ),
            ("-f", Same),
            ("-F", Same),
            ("--tail", Same),
            ("-v", Same),
            ("-r", Same),
            ("--raw-mode", Same),
            ("-a 10m", Same),
            ("--from 10m", Same),
            ("-a 10m -t 5m", Same),
            ("--from 10m --to 5m", Same),
            ("-n 100", Same),
            ("-l 100", Same),
            ("--lines 100", Same),
            ("-n -100", Same),
            (
                "-n +100",
                Instead("--from and --to: only the last lines are counted"),
            ),
            ("-o 100", Instead("--from and --to")),
            ("-d /soa", Differs("is not read: the cluster has the lines")),
        ],
    },
    Verb {
        name: "check",
        base: "",
        flags: &[("-s web", Same), ("-y /soa", Same), ("-d /soa", Same)],
    },
    Verb {
        name: "validate",
        base: "",
        flags: &[
            ("-s web", Same),
            ("-y /soa", Same),
            ("--yelpsoa-config-root /soa", Same),
            ("-d /soa", Same),
        ],
    },
    Verb {
        name: "local-run",
        base: "",
        flags: &[
            ("-s web", Same),
            ("-i main", Same),
            ("-c prod", Same),
            ("-b", Same),
            ("--build", Same),
            ("-p", Same),
            ("--pull", Same),
            ("--dry-run", Same),
            ("-d", Instead("--dry-run")),
            ("--json-dict", Instead("--dry-run --json")),
            ("-C /bin/sh", Same),
            ("-I", Same),
            ("-k", Same),
            ("-t", Same),
            ("-o 8080", Same),
            ("-v", Same),
            ("--sha 3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d", Same),
            ("--skip-secrets", Instead("nothing: no secret is fetched")),
            (
                "--date 2026-01-01",
                Instead("nothing: there are no scheduled jobs"),
            ),
        ],
    },
    Verb {
        name: "version",
        base: "",
        flags: &[],
    },
];

const CONTROL: &[(&str, Verdict)] = &[
    ("-c prod,dev", Same),
    ("--clusters prod", Same),
    ("--cluster prod", Same),
    ("-i main,worker", Same),
    ("--instances main", Same),
    ("--instance main", Same),
    ("-l prod", Same),
    ("--deploy-group prod", Same),
    ("-d /soa", Same),
    ("-y /soa", Same),
    ("-o front", Same),
    ("--owner front", Same),
    ("-r web.main", Same),
    ("--registration web.main", Same),
    ("-b prod.main", Instead("-c CLUSTER -i INSTANCE")),
];

const EMERGENCY: &[(&str, Verdict)] = &[("-c prod", Same)];

/// What else `paasta -h` of PaaSTA takes.
pub const GLOBAL: &[(&str, Verdict)] = &[
    ("-V", Same),
    ("--version", Same),
    ("-h", Same),
    ("--help", Same),
];

/// What to use instead of a flag of PaaSTA that the command line has, and that is not here.
pub fn instead(argv: &[OsString]) -> Option<String> {
    let words: Vec<&str> = argv.iter().filter_map(|word| word.to_str()).collect();
    let verb = VERBS.iter().find(|verb| words.get(1) == Some(&verb.name))?;
    verb.flags.iter().find_map(|(line, verdict)| {
        let Instead(what) = verdict else {
            return None;
        };
        let flag = line.split(' ').next()?;
        // Where only one of its values is refused, the refusal says what to give.
        if verb.takes(flag) {
            return None;
        }
        let is_it = |word: &&str| word.split('=').next() == Some(flag);
        let given = words.iter().skip(2).any(is_it);
        given.then(|| {
            format!(
                "{flag} of PaaSTA's {} is not here. Instead: {what}",
                verb.name
            )
        })
    })
}

/// The page of the table, for the docs.
pub fn page() -> String {
    let mut text = "\
# PaaSTA's command line

Every verb and flag of PaaSTA (the first command line of 2015 to 0.92, the last with Marathon), and
what becomes of it here. The table in `cli/src/compat.rs` makes this page, and a test tries each
line. Of `yes, but` the difference is named.

| PaaSTA | here | |
|---|---|---|
"
    .to_owned();
    let mut row = |line: &str, verdict: Verdict| {
        let (here, note) = match verdict {
            Same => ("yes", ""),
            Differs(how) => ("yes, but", how),
            Instead(what) => ("no", what),
        };
        text.push_str(&format!("| `{}` | {here} | {note} |\n", line.trim_end()));
    };
    for (flag, verdict) in GLOBAL {
        row(&format!("paasta {flag}"), *verdict);
    }
    for verb in VERBS {
        row(&format!("paasta {} {}", verb.name, verb.base), Same);
        for (flag, verdict) in verb.flags {
            row(&format!("paasta {} ... {flag}", verb.name), *verdict);
        }
    }
    text.push_str(
        "\n## Verbs that are not here\n\nEach answers with one line: why, and what to use.\n\n\
         | verb | why | instead |\n|---|---|---|\n",
    );
    for (name, why, instead) in crate::cmd::absent::verbs() {
        text.push_str(&format!("| `{name}` | {why} | {instead} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;
    use crate::args::Args;

    fn parses(line: &str) -> bool {
        // Each word as a shell would pass it on.
        match Args::command().try_get_matches_from(line.split_whitespace()) {
            Ok(_) => true,
            Err(error) => matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ),
        }
    }

    #[test]
    fn every_flag_of_paasta_is_taken_or_has_something_instead() {
        let mut wrong = Vec::new();
        let mut hold = |line: String, verdict: Verdict| {
            let taken = !matches!(verdict, Instead(_));
            if parses(&line) != taken {
                wrong.push(format!("{line}: {verdict:?}"));
            }
        };
        for (flag, verdict) in GLOBAL {
            hold(format!("paasta {flag}"), *verdict);
        }
        for verb in VERBS {
            for (flag, verdict) in verb.flags {
                hold(
                    format!("paasta {} {} {flag}", verb.name, verb.base),
                    *verdict,
                );
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn a_flag_that_is_not_here_says_what_to_use() {
        for verb in VERBS {
            for (flag, verdict) in verb.flags {
                let line = format!("paasta {} {} {flag}", verb.name, verb.base);
                let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
                let name = flag.split(' ').next().unwrap_or_default();
                if let Instead(what) = verdict
                    && !verb.takes(name)
                {
                    let said = instead(&argv).unwrap_or_default();
                    assert!(said.ends_with(what), "{line}: {said:?}");
                }
            }
        }
        let fine = ["paasta", "status", "-s", "web"].map(OsString::from);
        assert_eq!(instead(&fine), None);
        assert_eq!(instead(&[]), None);
    }

    #[test]
    fn every_verb_of_paasta_is_here_or_says_what_to_use() {
        let all = "check emergency-restart emergency-start emergency-stop generate-pipeline help \
             info itest list logs mark-for-deployment performance-check push-to-registry restart \
             security-check start status stop version autoscale boost cook-image docker-exec \
             docker-inspect docker-stop fsm get-docker-image get-latest-deployment list-clusters \
             local-run metastatus pause_service_autoscaler remote-run rerun rollback secret \
             spark-run sysdig validate wait-for-deployment emergency-scale";
        let root = Args::command();
        for name in all.split_whitespace().filter(|name| *name != "help") {
            let here = root.find_subcommand(name).is_some();
            let tabled = VERBS.iter().any(|verb| verb.name == name);
            let absent = crate::cmd::absent::verbs().any(|(verb, ..)| verb == name);
            assert_eq!((here, absent), (tabled, !tabled), "{name}");
        }
    }

    #[test]
    fn the_page_is_as_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/paasta-cli.md");
        if std::env::var_os("PAASTA_WRITE_DOCS").is_some() {
            fs::write(&path, page()).expect("write the page");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found,
            page(),
            "docs/reference/paasta-cli.md is another; PAASTA_WRITE_DOCS=1 writes it"
        );
    }
}
