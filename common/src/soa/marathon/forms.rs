//! The forms of the fields that are more than a number or a text.

use crate::soa::{
    node::{Node, Value},
    table::{
        Default::{Bool, Number as Num, Said, Text as Word, Whole as Int},
        Entries, Field, Kind, Pattern, Range, Shape, Table, Unknown,
    },
};

/// The longest time that a field in seconds may say: a year.
pub(super) const SECONDS_MAX: f64 = 31_536_000.0;
/// Seconds.
pub(super) const SECONDS: Kind = Kind::Number(Range::within(0.0, SECONDS_MAX));
/// A part of a whole.
pub(super) const FRACTION: Kind = Kind::Number(Range::above(0.0, 1.0));

/// The names of instances.
pub(super) static INSTANCE_NAME: Pattern = Pattern {
    fits: |name| crate::id::InstanceName::new(name).is_ok(),
    regex: "^[a-z0-9]+((-|_+)[a-z0-9]+)*$",
    rule: "use lower-case letters, digits, '_' and '-', with a letter or digit at both ends and \
           no '-' beside '_' or '-'",
};

/// `autoscaling`.
pub(super) static AUTOSCALING: Table = Table::open(
    "how an autoscaler decides",
    &[
        Field::new(
            "decision_policy",
            Kind::Text,
            "proportional, threshold, pid or bespoke.",
        )
        .or(Word("proportional")),
        Field::new("endpoint", Kind::Text, "Where the metric is read.").or(Word("status")),
        Field::new(
            "forecast_policy",
            Kind::Text,
            "current, moving_average or linreg.",
        ),
        Field::new(
            "metrics_provider",
            Kind::Text,
            "mesos_cpu, http, uwsgi, ...",
        )
        .or(Word("mesos_cpu")),
        Field::new(
            "offset",
            Kind::Number(Range::within(-1.0e9, 1.0e9)),
            "Added to the metric.",
        )
        .or(Num(0.0)),
        Field::new(
            "setpoint",
            Kind::Number(Range::within(0.0, 1.0e9)),
            "The utilisation to hold.",
        )
        .or(Num(0.8)),
    ],
);

/// `extra_docker_args`; which of them are allowed is the decoder's to say.
pub(super) static DOCKER_ARGS: Entries = Entries {
    about: "Docker's own arguments",
    names: None,
    templates: false,
    kind: Kind::Any,
    filled: false,
};

/// `bounce_health_params`.
pub(super) static HAPPINESS: Table = Table::strict(
    "when a replica is happy",
    &[
        Field::new(
            "check_haproxy",
            Kind::Bool,
            "Whether it must be up in the load balancer.",
        )
        .or(Bool(false)),
        Field::new(
            "haproxy_min_fraction_up",
            FRACTION,
            "In what part of the load balancers it must be up.",
        )
        .or(Num(1.0)),
        Field::new("min_task_uptime", SECONDS, "Seconds that it must have run.")
            .or(Said("one healthcheck interval")),
    ],
);

/// The parameters of every drain method. Which of them a method takes is the decoder's to say.
pub(super) static DRAIN: Table = Table {
    unknown: Unknown::Judged,
    ..Table::strict("the settings of the drain method", DRAIN_FIELDS)
};

const DRAIN_FIELDS: &[Field] = &[
    Field::new(
        "delay",
        SECONDS,
        "hacheck and test: seconds to wait after the replica was taken out.",
    )
    .or(Said("240 for hacheck, 0 for test")),
    Field::new("drain", Kind::Map(&HTTP_STEP), "http: asked to begin."),
    Field::new("expiration", SECONDS, "hacheck: does nothing here."),
    Field::new(
        "hacheck_port",
        Kind::Whole(Range::within(1.0, 65_535.0)),
        "hacheck: its port.",
    )
    .or(Int(6666)),
    Field::new(
        "is_draining",
        Kind::Map(&HTTP_STEP),
        "http: asked whether it has begun.",
    ),
    Field::new(
        "is_safe_to_kill",
        Kind::Map(&HTTP_STEP),
        "http: asked whether it is done.",
    ),
    Field::new(
        "stop_draining",
        Kind::Map(&HTTP_STEP),
        "http: asked to go back.",
    ),
];

/// One request of the drain method `http`.
pub(super) static HTTP_STEP: Table = Table::strict(
    "one request of the drain method http",
    &[
        Field::new("method", Kind::Text, "The HTTP method.").or(Word("GET")),
        Field::new(
            "success_codes",
            Kind::Shape(&CODES),
            "Codes of success, such as 200-399,407.",
        )
        .required(),
        Field::new(
            "url_format",
            Kind::Text,
            "The URL; {host}, {port} and so on are filled in.",
        )
        .required(),
    ],
);

/// `success_codes`.
pub(super) static CODES: Shape = Shape {
    expected: "codes such as 200-399,407",
    fits: success_codes,
    schema: r#"{"oneOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^ *[0-9]{3} *(- *[0-9]{3} *)?(, *[0-9]{3} *(- *[0-9]{3} *)?)*$"}]}"#,
};

/// `200`, or text such as `200-399,407`.
fn success_codes(node: &Node) -> bool {
    let code = |text: &str| {
        let text = text.trim();
        text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())
    };
    match &node.value {
        Value::Int(value) => (100..=599).contains(value),
        Value::Text(text) => text.split(',').all(|part| match part.split_once('-') {
            Some((low, high)) => code(low) && code(high) && low.trim() <= high.trim(),
            None => code(part),
        }),
        _ => false,
    }
}

/// `env`.
pub(super) static ENVIRONMENT: Entries = Entries {
    about: "the container's environment",
    names: Some(&VARIABLE),
    templates: false,
    kind: Kind::Pattern(&VALUE),
    filled: false,
};

/// The name of a variable.
pub(super) static VARIABLE: Pattern = Pattern {
    fits: |name| {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
    },
    regex: "^[a-zA-Z_][a-zA-Z0-9_]*$",
    rule: "use letters, digits and '_' for a variable's name, and begin with no digit",
};

/// The value of a variable.
pub(super) static VALUE: Pattern = Pattern {
    fits: |text| !text.contains('\0'),
    regex: r"^[^\u0000]*$",
    rule: "must not hold a zero byte",
};

/// `healthcheck_uri`.
pub(crate) static URI: Pattern = Pattern {
    fits: |uri| uri.starts_with('/') && !uri.chars().any(|c| c.is_control() || c == ' '),
    regex: r"^/[^\u0000-\u0020\u007f-\u009f]*$",
    rule: "must begin with '/' and hold no blanks",
};

/// `net`: `container:ID` would share the network of a container that is not the author's.
pub(super) static NETWORK: Pattern = Pattern {
    fits: |name| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fine)
    },
    regex: "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$",
    rule: "expected bridge, host, none or the name of a network",
};

/// One of `registrations`.
pub(super) static REGISTRATION: Pattern = Pattern {
    fits: crate::soa::smartstack::is_registration,
    regex: "^[a-zA-Z0-9][a-zA-Z0-9_-]*[.][a-zA-Z0-9][a-zA-Z0-9_-]*$",
    rule: "must be of the form SERVICE.NAMESPACE",
};

/// `security`.
pub(super) static SECURITY: Table = Table::strict(
    "the firewall of the container",
    &[Field::new(
        "outbound_firewall",
        Kind::Choice(&["block", "monitor"]),
        "What becomes of connections that dependencies.yaml does not name.",
    )],
);

/// The limits that Docker knows.
pub(crate) static ULIMIT_NAMES: Pattern = Pattern {
    fits: |name| {
        matches!(
            name,
            "core"
                | "cpu"
                | "data"
                | "fsize"
                | "locks"
                | "memlock"
                | "msgqueue"
                | "nice"
                | "nofile"
                | "nproc"
                | "rss"
                | "rtprio"
                | "rttime"
                | "sigpending"
                | "stack"
        )
    },
    regex: "^(core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|\
            sigpending|stack)$",
    rule: "name a limit that Docker knows: core, cpu, data, fsize, locks, memlock, msgqueue, nice, \
           nofile, nproc, rss, rtprio, rttime, sigpending or stack",
};

/// `ulimit`.
pub(super) static ULIMITS: Entries = Entries {
    about: "limits of resources by their names",
    names: Some(&ULIMIT_NAMES),
    templates: false,
    kind: Kind::Map(&ULIMIT),
    filled: false,
};

/// One limit.
pub(super) static ULIMIT: Table = Table::strict(
    "a limit",
    &[
        Field::new(
            "hard",
            Kind::Whole(Range::within(-1.0, 9.0e15)),
            "The limit of the limit; -1 for none.",
        ),
        Field::new(
            "soft",
            Kind::Whole(Range::within(-1.0, 9.0e15)),
            "The limit; -1 for none.",
        )
        .required(),
    ],
);

/// A mount.
pub(crate) static VOLUME: Table = Table::strict(
    "a mount",
    &[
        Field::new(
            "containerPath",
            Kind::Pattern(&PATH),
            "Where it is in the container.",
        )
        .required(),
        Field::new("hostPath", Kind::Pattern(&PATH), "Where it is on the host.").required(),
        Field::new("mode", Kind::Choice(&["RO", "RW"]), "RO or RW").required(),
    ],
);

/// An absolute path that means what it looks like: `..` and the separators of Docker's mount
/// syntax could smuggle in another one.
pub(super) static PATH: Pattern = Pattern {
    fits: |path| {
        let plain = |c: char| !c.is_control() && !matches!(c, ':' | ',' | '\\');
        let parts_fine = path.split('/').all(|part| part != ".." && part != ".");
        path.starts_with('/') && parts_fine && path.chars().all(plain)
    },
    // The parts between slashes: anything but `.` and `..`.
    regex: r"^(/([^./:,\\\u0000-\u001f\u007f-\u009f][^/:,\\\u0000-\u001f\u007f-\u009f]*|[.][^./:,\\\u0000-\u001f\u007f-\u009f][^/:,\\\u0000-\u001f\u007f-\u009f]*|[.][.][^/:,\\\u0000-\u001f\u007f-\u009f]+)?)+$",
    rule: "must be an absolute path without '.', '..', ':', ',' or '\\'",
};
