//! Samples of whole files.

use paasta_common::problem::Rule;

use super::Said::{self, Bad, Good, Warned};

/// Whole files.
pub(super) const FILES: &[(&str, &str, Said)] = &[
    ("marathon-prod.yaml", "main: {}\n", Bad(Rule::Empty, 1)),
    ("marathon-prod.yaml", "main:\n", Bad(Rule::Empty, 1)),
    ("marathon-prod.yaml", "main: 5\n", Bad(Rule::Type, 1)),
    (
        "marathon-prod.yaml",
        "Main: {cpus: 1}\n",
        Bad(Rule::Name, 1),
    ),
    (
        "marathon-prod.yaml",
        "\u{e9}t\u{e9}: {cpus: 1}\n",
        Bad(Rule::Name, 1),
    ),
    ("marathon-prod.yaml", "a/b: {cpus: 1}\n", Bad(Rule::Name, 1)),
    (
        "marathon-prod.yaml",
        "../../etc: {cpus: 1}\n",
        Bad(Rule::Name, 1),
    ),
    (
        "marathon-prod.yaml",
        "_t: &t {anything: [1]}\nmain: {cpus: 1}\n",
        Good,
    ),
    (
        "marathon-prod.yaml",
        "_t: 5\nmain: {cpus: 1}\n",
        Bad(Rule::Type, 1),
    ),
    (
        "marathon-prod.yaml",
        "main: {cpus: 1}\nmain: {cpus: 2}\n",
        Bad(Rule::Duplicate, 2),
    ),
    (
        "marathon-prod.yaml",
        "main:\n\tcpus: 1\n",
        Bad(Rule::Syntax, 2),
    ),
    (
        "marathon-prod.yaml",
        "main: &a {env: *a}\n",
        Bad(Rule::Syntax, 1),
    ),
    ("marathon-prod.yaml", "\u{feff}main:\r\n  cpus: 1\r\n", Good),
    (
        "marathon-prod.yaml",
        "main:\r\n  cpus: 0\r\n",
        Bad(Rule::Range, 2),
    ),
    ("marathon-prod.yaml", "[]\n", Bad(Rule::Type, 1)),
    ("adhoc-prod.yaml", "batch: {cmd: x, mem: 64}\n", Good),
    (
        "adhoc-prod.yaml",
        "batch: {instances: 3}\n",
        Bad(Rule::UnknownField, 1),
    ),
    ("adhoc-prod.yaml", "interactive: {cpus: 1}\n", Good),
    (
        "smartstack.yaml",
        "main: {proxy_port: 20001, mode: http}\n",
        Good,
    ),
    ("smartstack.yaml", "main: {proxy_port: ~}\n", Good),
    (
        "smartstack.yaml",
        "main: {proxy_port: 70000}\n",
        Bad(Rule::Range, 1),
    ),
    (
        "smartstack.yaml",
        "main: {mode: htp}\n",
        Bad(Rule::Choice, 1),
    ),
    (
        "smartstack.yaml",
        "main: {balance: leastconn, retries: 2, allredisp: true, advertise: [region], discover: habitat}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {balance: random}\n",
        Bad(Rule::Choice, 1),
    ),
    (
        "smartstack.yaml",
        "main: {advertise: region}\n",
        Bad(Rule::Type, 1),
    ),
    (
        "smartstack.yaml",
        "main: {extra_advertise: {'region:a': ['region:b']}}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {extra_advertise: {'region:a': 'region:b'}}\n",
        Bad(Rule::Type, 1),
    ),
    (
        "smartstack.yaml",
        "main: {routes: [{source: 'a:b', destinations: ['a:c']}]}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {routes: [{source: 'a:b'}]}\n",
        Bad(Rule::Required, 1),
    ),
    (
        "smartstack.yaml",
        "main: {timeout_server_ms: -1}\n",
        Bad(Rule::Range, 1),
    ),
    (
        "smartstack.yaml",
        "main: {proxy_prot: 20001}\n",
        Warned(Rule::UnknownField),
    ),
    (
        "smartstack.yaml",
        "main: {something_of_nerve: 1}\n",
        Warned(Rule::UnknownField),
    ),
    (
        "smartstack.yaml",
        "main: {retrys: 1}\n",
        Warned(Rule::UnknownField),
    ),
    (
        "smartstack.yaml",
        "main: {lb_policy: RANDOM, endpoint_timeouts: {/a: 1}}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {extra_headers: {X-A: 'b c'}}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {extra_headers: {X-A: \"b\\nserver evil 10.0.0.1:1\"}}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {extra_headers: {X-A: 'b # c'}}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {extra_headers: {'X A': b}}\n",
        Bad(Rule::Name, 1),
    ),
    (
        "smartstack.yaml",
        "main: {endpoint_timeouts: {/slow: 5000}}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {endpoint_timeouts: {'/a b': 5000}}\n",
        Bad(Rule::Name, 1),
    ),
    (
        "smartstack.yaml",
        "main: {endpoint_timeouts: {/a: 0}}\n",
        Bad(Rule::Range, 1),
    ),
    (
        "smartstack.yaml",
        "main: {chaos: {region: {us: {fail: drop, delay: 300ms}}}}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {chaos: {region: {us: {fail: explode}}}}\n",
        Bad(Rule::Choice, 1),
    ),
    (
        "smartstack.yaml",
        "main: {chaos: {region: {us: {delay: soon}}}}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {proxied_through: 'proxy.main'}\n",
        Good,
    ),
    (
        "smartstack.yaml",
        "main: {proxied_through: 'a b'}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {discover: 'a b'}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {healthcheck_uri: status}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "smartstack.yaml",
        "main: {healthcheck_uri: ''}\n",
        Bad(Rule::Format, 1),
    ),
    (
        "service.yaml",
        "description: x\ngit_url: git@x:y\nruns_on: [a]\nmem: 64\nteam: a\n",
        Good,
    ),
    ("service.yaml", "git_url: 5\n", Bad(Rule::Type, 1)),
    ("service.yaml", "mem: 5\n", Bad(Rule::Range, 1)),
    ("service.yaml", "env: {A: 5}\n", Bad(Rule::Type, 1)),
    ("service.yaml", "git_ulr: x\n", Warned(Rule::UnknownField)),
    (
        "monitoring.yaml",
        "team: a\npage: true\nalert_after: 2m\nrealert_every: -1\n",
        Good,
    ),
    ("monitoring.yaml", "team: 5\n", Bad(Rule::Type, 1)),
    ("monitoring.yaml", "team: a\npage: 5\n", Bad(Rule::Type, 2)),
    (
        "monitoring.yaml",
        "team: a\nnotification_email: false\n",
        Warned(Rule::Unsupported),
    ),
    (
        "monitoring.yaml",
        "team: a\nalert_after: soon\n",
        Bad(Rule::Format, 2),
    ),
    ("monitoring.yaml", "team: a\nsomebody_elses: 1\n", Good),
    (
        "deploy.yaml",
        "pipeline:\n- step: itest\n- step: prod.main\n  timeout: 60\n  auto_rollback: true\n",
        Good,
    ),
    (
        "deploy.yaml",
        "pipeline:\n- instancename: prod.main\n",
        Good,
    ),
    (
        "deploy.yaml",
        "pipeline:\n- step: prod.main\n  wait_for_deploy: true\n",
        Warned(Rule::UnknownField),
    ),
    (
        "deploy.yaml",
        "pipeline:\n- step: prod.main\n  disabled: true\nslack_notify: true\n",
        Good,
    ),
    ("deploy.yaml", "pipelines: []\n", Warned(Rule::UnknownField)),
    ("deploy.yaml", "pipeline:\n- step: 5\n", Bad(Rule::Type, 2)),
    (
        "deploy.yaml",
        "pipeline:\n- {timeout: 5}\n",
        Bad(Rule::Required, 2),
    ),
    (
        "deploy.yaml",
        "pipeline:\n- step: a\n  timeout: never\n",
        Bad(Rule::Type, 3),
    ),
    ("deploy.yaml", "pipeline: {step: a}\n", Bad(Rule::Type, 1)),
    (
        "dependencies.yaml",
        "main: [{well-known: internet}, {smartstack: a.b}, {cidr: 10.0.0.0/8, port: 443}]\n",
        Good,
    ),
    (
        "dependencies.yaml",
        "main: [{cidr: ten}]\n",
        Bad(Rule::Format, 1),
    ),
    (
        "dependencies.yaml",
        "main: [{cidr: 10.0.0.1, port: 0}]\n",
        Bad(Rule::Type, 1),
    ),
    (
        "dependencies.yaml",
        "main: [{host: x}]\n",
        Bad(Rule::UnknownField, 1),
    ),
    (
        "secrets/key.json",
        "{\"environments\": {\"prod\": {\"ciphertext\": \"x\", \"signature\": \"y\"}}}\n",
        Good,
    ),
    (
        "secrets/key.json",
        "{\"environments\": {\"prod\": {}}}\n",
        Bad(Rule::Required, 1),
    ),
    ("secrets/key.json", "{}\n", Bad(Rule::Required, 1)),
];
