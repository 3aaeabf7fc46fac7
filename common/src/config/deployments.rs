//! The section `deployments`: how the leader follows the services' git repositories.

use crate::soa::table::{
    Default::{Bool, Said, Whole as Int},
    Field, Kind, Pattern, Range, Record, Table,
};

static FILE: Pattern = Pattern {
    fits: |path| path.starts_with('/') && !path.ends_with('/'),
    regex: r"^/([^\n]|\n)*[^/]$",
    rule: "must be the absolute path of a file",
};

static TEMPLATE: Pattern = Pattern {
    fits: |text| text.contains("{service}") && !text.contains(char::is_control),
    regex: r"^[^\u0000-\u001f\u007f-\u009f]*[{]service[}][^\u0000-\u001f\u007f-\u009f]*$",
    rule: "must be a git URL with {service} in it, as git@git.example.com:services/{service}",
};

pub(super) static DEPLOYMENTS: Table = Table::warning(
    "how the leader follows the services' git repositories",
    &[
        Field::new(
            "at_once",
            Kind::Whole(Range::within(1.0, 256.0)),
            "How many repositories are polled at the same time.",
        )
        .or(Int(16)),
        Field::new(
            "dir",
            Kind::Text,
            "The directory below which it is written, as SERVICE/deployments.json.",
        )
        .or(Said("soa_dir")),
        Field::new(
            "every_seconds",
            Kind::Whole(Range::within(1.0, 3_600.0)),
            "Seconds between two looks at one repository, at least.",
        )
        .or(Int(10)),
        Field::new(
            "generate",
            Kind::Bool,
            "Whether the leader polls the services' repositories for the versions that run; when \
             not, deployments.json decides, and something else distributes it.",
        )
        .or(Bool(true)),
        Field::new(
            "git_url_template",
            Kind::Pattern(&TEMPLATE),
            "The repository of a service without git_url in its service.yaml; {service} stands \
             for the service's name.",
        )
        .or(Said("none, and such a service is not polled")),
        Field::new(
            "hook_secret_file",
            Kind::Pattern(&FILE),
            "A file with the secret of POST /v1/hooks/git; it is read for every hook.",
        )
        .or(Said("none, and there are no hooks")),
        Field::new(
            "remote_timeout_seconds",
            Kind::Whole(Range::within(1.0, 600.0)),
            "Seconds that a repository may take to answer.",
        )
        .or(Int(30)),
        Field::new(
            "retry_max_seconds",
            Kind::Whole(Range::within(1.0, 86_400.0)),
            "Seconds up to which the pause grows until a repository that does not answer is \
             asked again.",
        )
        .or(Int(300)),
        Field::new(
            "write",
            Kind::Bool,
            "Whether deployments.json is written too, for others to read.",
        )
        .or(Bool(true)),
    ],
);

/// Settings of following git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentsConfig {
    /// `generate`: whether the leader polls the services' repositories for the versions that run.
    /// When not, deployments.json decides, and something else distributes it. Default true.
    pub generate: bool,
    /// `every_seconds`: between two looks at one repository, at least, 1 to 3,600. Default 10.
    pub every_seconds: u64,
    /// `at_once`: how many repositories are asked at the same time, 1 to 256. Default 16.
    pub at_once: u32,
    /// `remote_timeout_seconds`: how long one may take to answer, 1 to 600. Default 30.
    pub remote_timeout_seconds: u64,
    /// `retry_max_seconds`: one that does not answer is asked ever more rarely, up to this, 1 to
    /// 86,400. Default 300.
    pub retry_max_seconds: u64,
    /// `git_url_template`: the repository of a service without `git_url`, with `{service}` in it.
    /// Default none, and such a service is not polled.
    pub git_url_template: Option<String>,
    /// `hook_secret_file`: the absolute path of a file with the secret of `POST /v1/hooks/git`, by
    /// which git servers tell of a push. Default none, and there are no hooks.
    pub hook_secret_file: Option<String>,
    /// `write`: whether deployments.json is written too, for others to read. Default true.
    pub write: bool,
    /// `dir`: below which it is written, as `SERVICE/deployments.json`. Default: soa_dir.
    pub dir: Option<String>,
}

impl DeploymentsConfig {
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Self {
        Self {
            generate: fields.boolean("generate").unwrap_or_default(),
            every_seconds: fields.whole("every_seconds").unwrap_or_default(),
            at_once: fields.whole32("at_once").unwrap_or_default(),
            remote_timeout_seconds: fields.whole("remote_timeout_seconds").unwrap_or_default(),
            retry_max_seconds: fields.whole("retry_max_seconds").unwrap_or_default(),
            git_url_template: fields.text("git_url_template"),
            hook_secret_file: fields.text("hook_secret_file"),
            write: fields.boolean("write").unwrap_or_default(),
            dir: fields.text("dir"),
        }
    }
}
