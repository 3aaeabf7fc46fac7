//! The fields of smartstack.yaml: what each may hold, and what it does here.

use crate::{
    smartstack::{
        HeaderName, HeaderValue, LOCATION_DEFAULT, Location, LocationName, LocationType, Path,
    },
    soa::{
        marathon::URI,
        table::{
            Default::{Bool, Number, Text, Texts, Whole},
            Entries, Field, Kind, Pattern, Range, Table,
        },
    },
};

/// The namespaces of a service.
pub static NAMESPACES: Entries = Entries {
    about: "the namespaces under which a service is announced to the load balancers",
    names: None,
    templates: true,
    kind: Kind::Map(&NAMESPACE),
    filled: false,
};

pub(super) static NAMESPACE: Table = Table::warning("one namespace", FIELDS);

const MILLISECONDS: Kind = Kind::Whole(Range::within(0.0, 86_400_000.0));
const SECONDS: Kind = Kind::Number(Range::within(0.0, 86_400.0));
const PORT: Kind = Kind::Whole(Range::within(1.0, 65_535.0));

const LATER: &str = "Of later versions of PaaSTA; does nothing here.";

const FIELDS: &[Field] = &[
    Field::new(
        "advertise",
        Kind::List(&TYPE_KIND),
        "The location types in which backends are announced.",
    )
    .or(Texts(LOCATION_DEFAULT)),
    Field::new(
        "allow_websocket_upgrade",
        Kind::Any,
        "Of later versions of PaaSTA; the proxies here always allow it.",
    ),
    Field::new(
        "allredisp",
        Kind::Bool,
        "Whether a retry goes to another backend at once.",
    )
    .or(Bool(false)),
    Field::new(
        "balance",
        Kind::Choice(&["leastconn", "roundrobin"]),
        "How a backend is chosen.",
    )
    .or(Text("leastconn")),
    Field::new(
        "chaos",
        Kind::Entries(&CHAOS),
        "Faults on purpose for clients of a location, {TYPE: {LOCATION: {fail, delay}}}.",
    ),
    Field::new("choice_count", Kind::Any, LATER),
    Field::new("clb_proxy", Kind::Any, LATER),
    Field::new(
        "discover",
        Kind::Pattern(&TYPE),
        "The location type from which clients choose backends, and over which replicas are spread.",
    )
    .or(Text(LOCATION_DEFAULT)),
    Field::new(
        "endpoint_timeouts",
        Kind::Entries(&TIMEOUTS),
        "Milliseconds of silence of a backend, by the beginning of the path.",
    ),
    Field::new(
        "extra_advertise",
        Kind::Entries(&ADVERTISE),
        "Announces backends of one location in others, {\"TYPE:LOCATION\": [\"TYPE:LOCATION\"]}.",
    ),
    Field::new(
        "extra_headers",
        Kind::Entries(&HEADERS),
        "Headers of every request.",
    ),
    Field::new(
        "extra_healthcheck_headers",
        Kind::Entries(&HEADERS),
        "Headers of the checks.",
    ),
    Field::new(
        "fixed_delay",
        Kind::Any,
        "A delay for tests; does nothing here.",
    ),
    Field::new(
        "healthcheck_body_expect",
        Kind::Text,
        "What the body of a check must hold.",
    ),
    Field::new(
        "healthcheck_mode",
        Kind::Choice(&["http", "https", "tcp", "cmd"]),
        "What checks speak, when it is not mode.",
    ),
    Field::new(
        "healthcheck_port",
        PORT,
        "The port of checks, when it is another.",
    ),
    Field::new(
        "healthcheck_timeout_s",
        SECONDS,
        "Seconds until a check has failed.",
    )
    .or(Number(1.0)),
    Field::new(
        "healthcheck_uri",
        Kind::Pattern(&URI),
        "The path of checks.",
    )
    .or(Text("/status")),
    Field::new("idle_timeout", Kind::Any, LATER),
    Field::new("is_proxy", Kind::Any, LATER),
    Field::new(
        "keepalive",
        Kind::Bool,
        "Whether connections serve more than one request.",
    )
    .or(Bool(true)),
    Field::new(
        "lb_policy",
        Kind::Choice(&[
            "LEAST_REQUEST",
            "MAGLEV",
            "RANDOM",
            "RING_HASH",
            "ROUND_ROBIN",
        ]),
        "How a backend is chosen, when balance is not given.",
    ),
    Field::new(
        "longest_timeout_ms",
        MILLISECONDS,
        "The longest of the timeouts of single paths.",
    ),
    Field::new(
        "mode",
        Kind::Choice(&["http", "https", "http2", "tcp"]),
        "What it speaks; http with a proxy_port. The proxies read http and pass the others on.",
    ),
    Field::new("monitoring", Kind::Any, LATER),
    Field::new("plugins", Kind::Any, LATER),
    Field::new("port", Kind::Any, LATER),
    Field::new(
        "proxied_through",
        Kind::Pattern(&REGISTRATION),
        "Another namespace that requests go through.",
    ),
    Field::new(
        "proxy_port",
        PORT,
        "The port of the load balancers; without one it is not load balanced.",
    )
    .or_null(),
    Field::new(
        "retries",
        Kind::Whole(Range::within(0.0, 100.0)),
        "How often a connection is tried again.",
    )
    .or(Whole(1)),
    Field::new(
        "retry_requests",
        Kind::Bool,
        "Whether a request without an answer goes to another backend: it may arrive twice.",
    )
    .or(Bool(false)),
    Field::new(
        "routes",
        Kind::List(&ROUTES),
        "The older form of extra_advertise, [{source, destinations}].",
    ),
    Field::new(
        "timeout_client_ms",
        MILLISECONDS,
        "Milliseconds of silence of a client.",
    )
    .or(Whole(1000)),
    Field::new(
        "timeout_connect_ms",
        MILLISECONDS,
        "Milliseconds to connect to a backend.",
    )
    .or(Whole(200)),
    Field::new(
        "timeout_server_ms",
        MILLISECONDS,
        "Milliseconds of silence of a backend.",
    )
    .or(Whole(1000)),
    Field::new(
        "updown_timeout_s",
        SECONDS,
        "Seconds to wait for a backend to come or go.",
    ),
    Field::new("vip_upgrade", Kind::Any, LATER),
];

static ROUTES: Kind = Kind::Map(&ROUTE);

pub(super) static ROUTE: Table = Table::open(
    "a route",
    &[
        Field::new(
            "destinations",
            Kind::List(&LOCATION_KIND),
            "Where they are announced, too, TYPE:LOCATION.",
        )
        .required(),
        Field::new(
            "source",
            Kind::Pattern(&LOCATION),
            "Where the backends run, TYPE:LOCATION.",
        )
        .required(),
    ],
);

static HEADERS: Entries = Entries {
    about: "headers",
    names: Some(&HEADER_NAME),
    templates: false,
    kind: Kind::Pattern(&HEADER_VALUE),
    filled: false,
};

static TIMEOUTS: Entries = Entries {
    about: "timeouts in milliseconds, by the beginning of the path",
    names: Some(&PATH),
    kind: Kind::Whole(Range::within(1.0, 86_400_000.0)),
    ..HEADERS
};

static ADVERTISE: Entries = Entries {
    about: "locations, by the location that they are announced for",
    names: Some(&LOCATION),
    kind: Kind::List(&LOCATION_KIND),
    ..HEADERS
};

static CHAOS: Entries = Entries {
    about: "faults, by the type of the client's location",
    names: Some(&TYPE),
    kind: Kind::Entries(&CHAOS_GROUP),
    ..HEADERS
};

static CHAOS_GROUP: Entries = Entries {
    about: "faults, by the client's location",
    names: Some(&LOCATION_NAME),
    kind: Kind::Map(&CHAOS_FAULT),
    ..HEADERS
};

/// One fault on purpose.
pub(super) static CHAOS_FAULT: Table = Table::strict(
    "a fault",
    &[
        Field::new(
            "delay",
            Kind::Pattern(&DELAY),
            "How long a connection waits first: a number with us, ms, s, m or h.",
        ),
        Field::new(
            "fail",
            Kind::Choice(&["drop", "error_503"]),
            "How requests fail.",
        ),
    ],
);

static TYPE_KIND: Kind = Kind::Pattern(&TYPE);

static LOCATION_KIND: Kind = Kind::Pattern(&LOCATION);

static HEADER_NAME: Pattern = Pattern {
    fits: |text| HeaderName::new(text).is_ok(),
    regex: "^[A-Za-z0-9-]{1,63}$",
    rule: "use 1 to 63 letters, digits and '-' for a header's name, and none of Connection, \
           Content-Length, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade",
};

static HEADER_VALUE: Pattern = Pattern {
    fits: |text| HeaderValue::new(text).is_ok(),
    regex: r"^[!&(-\[\]^_a-~]([ !&(-\[\]^_a-~]{0,510}[!&(-\[\]^_a-~])?$",
    rule: "use 1 to 512 printable ASCII characters other than quotes, '\\', '#', '%', '$' and '`', \
           with no blank at either end",
};

static PATH: Pattern = Pattern {
    fits: |text| Path::new(text).is_ok(),
    regex: "^/[A-Za-z0-9/_.~-]{0,511}$",
    rule: "must begin with '/' and hold letters, digits and '-_.~/' only, 512 at most",
};

static TYPE: Pattern = Pattern {
    fits: |text| LocationType::new(text).is_ok(),
    regex: "^[A-Za-z0-9_-]{1,63}$",
    rule: "use 1 to 63 letters, digits, '_' and '-' for a location type",
};

static LOCATION_NAME: Pattern = Pattern {
    fits: |text| LocationName::new(text).is_ok(),
    regex: "^[!-~]{1,128}$",
    rule: "use 1 to 128 printable ASCII characters without blanks for a location",
};

static LOCATION: Pattern = Pattern {
    fits: |text| text.parse::<Location>().is_ok(),
    regex: "^[A-Za-z0-9_-]{1,63}:[!-~]{1,128}$",
    rule: "expected TYPE:LOCATION",
};

static REGISTRATION: Pattern = Pattern {
    fits: super::is_registration,
    regex: r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
    rule: "expected SERVICE.NAMESPACE",
};

static DELAY: Pattern = Pattern {
    fits: |text| super::delay_ms(text).is_some(),
    regex: "^[0-9]{1,9}(us|ms|s|m|h)?$",
    rule: "expected a whole number with us, ms, s, m or h, and 24 hours at most",
};
