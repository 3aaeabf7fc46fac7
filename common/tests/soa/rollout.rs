//! The fields of bounces and drains.

use paasta_common::{
    soa::InstanceConfig,
    spec::{BounceMethod, DrainMethod, OnDeadline},
};

use crate::{load, main_with, name, said};

const SMARTSTACK: &str = "main: {proxy_port: 20001}\n";

/// The instance `main` with these lines, in the load balancer.
fn announced(lines: &str) -> InstanceConfig {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let marathon = format!("main:\n  cpus: 1\n{indented}");
    let files = [
        ("web/marathon-prod.yaml", marathon.as_str()),
        ("web/smartstack.yaml", SMARTSTACK),
    ];
    load(&files)
        .instances
        .remove(&name("main"))
        .unwrap()
        .unwrap()
}

fn refused(lines: &str) -> Vec<String> {
    said(&main_with(lines).expect_err(lines))
}

#[test]
fn bounce_methods_are_checked_by_name() {
    for method in BounceMethod::ALL {
        let found = main_with(&format!("bounce_method: {method}")).unwrap();
        assert_eq!(found.bounce.method, method);
    }
    assert_eq!(
        refused("bounce_method: upthendwn"),
        [
            "2:18: main.bounce_method: expected one of brutal, upthendown, crossover, downthenup, \
             down, found the text \"upthendwn\"; did you mean \"upthendown\"?"
        ]
    );
    let found = main_with("cpus: 1").unwrap();
    assert_eq!(found.bounce.method, BounceMethod::Crossover);
    assert_eq!(found.bounce.margin.as_f64(), 1.0);
}

#[test]
fn margins_and_deadlines_have_bounds() {
    assert_eq!(
        main_with("bounce_margin_factor: 0.5")
            .unwrap()
            .bounce
            .margin
            .as_f64(),
        0.5
    );
    for (lines, expected) in [
        (
            "bounce_margin_factor: 0",
            "2:25: main.bounce_margin_factor: must be more than 0",
        ),
        (
            "bounce_margin_factor: 1.1",
            "2:25: main.bounce_margin_factor: must be more than 0",
        ),
        (
            "bounce_start_deadline: -1",
            "2:26: main.bounce_start_deadline: must be at least 0",
        ),
        (
            "bounce_progress_deadline: 0",
            "2:29: main.bounce_progress_deadline: must be at least 1",
        ),
        (
            "bounce_on_deadline: stop",
            "2:23: main.bounce_on_deadline: expected one of go_on, hold",
        ),
        (
            "drain_timeout: 0",
            "2:18: main.drain_timeout: must be at least 1",
        ),
        (
            "bounce_priority: x",
            "2:20: main.bounce_priority: expected a whole number",
        ),
    ] {
        let said = refused(lines);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    }
    let found = main_with(
        "bounce_start_deadline: 1.5\nbounce_progress_deadline: 60\nbounce_on_deadline: rollback",
    );
    let bounce = found.unwrap().bounce;
    assert_eq!(
        (bounce.start_deadline_ms, bounce.progress_deadline_ms),
        (1_500, 60_000)
    );
    assert_eq!(bounce.on_deadline, OnDeadline::Rollback);
    let bounce = main_with("cpus: 1").unwrap().bounce;
    assert_eq!(
        (bounce.start_deadline_ms, bounce.progress_deadline_ms),
        (0, 600_000)
    );
    assert_eq!(bounce.on_deadline, OnDeadline::GoOn);
}

#[test]
fn health_parameters_replace_the_default_whole() {
    let of = |lines: &str| {
        let bounce = main_with(lines).unwrap().bounce;
        (bounce.check_load_balancer, bounce.min_task_uptime_ms)
    };
    assert_eq!(of("cpus: 1"), (None, None));
    let lines = "bounce_health_params: {min_task_uptime: 120, check_haproxy: true}";
    assert_eq!(of(lines), (Some(true), Some(120_000)));
    assert_eq!(
        of("bounce_health_params: {min_task_uptime: 0}"),
        (Some(false), Some(0))
    );
    assert_eq!(
        of("bounce_health_params: {check_haproxy: true}"),
        (Some(true), None)
    );
    for (lines, expected) in [
        (
            "bounce_health_params: {haproxy_min_fraction_up: 0}",
            "2:51: main.bounce_health_params.haproxy_min_fraction_up: must be more than 0",
        ),
        (
            "bounce_health_params: {check_haproxy: 1}",
            "2:41: main.bounce_health_params.check_haproxy: expected true or false",
        ),
        (
            "bounce_health_params: {min_uptime: 1}",
            "2:26: main.bounce_health_params.min_uptime: unknown field",
        ),
    ] {
        let said = refused(lines);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    }
}

#[test]
fn drains_default_by_the_load_balancer() {
    let outside = |lines: &str| main_with(lines).unwrap().drain;
    let inside = |lines: &str| announced(lines).drain;
    let hacheck = DrainMethod::hacheck;
    assert_eq!(outside("cpus: 1"), DrainMethod::Noop);
    assert_eq!(inside(""), hacheck(60_000));
    assert_eq!(outside("drain_method: hacheck"), hacheck(240_000));
    assert_eq!(inside("drain_method: hacheck"), hacheck(60_000));
    assert_eq!(inside("drain_method_params: {delay: 5}"), hacheck(5_000));
    assert_eq!(
        inside("drain_method_params: {expiration: 5, hacheck_port: 6667}"),
        DrainMethod::Hacheck {
            delay_ms: 240_000,
            port: 6667,
            expiration_ms: 5_000,
        }
    );
    assert_eq!(inside("drain_method: noop"), DrainMethod::Noop);
    let test = outside("drain_method: test\ndrain_method_params: {delay: 3}");
    assert_eq!(test, DrainMethod::Test { delay_ms: 3_000 });
}

const STEPS: [&str; 4] = ["drain", "stop_draining", "is_draining", "is_safe_to_kill"];

fn http(steps: &[&str], step: &str) -> String {
    let lines: String = steps
        .iter()
        .map(|name| format!("  {name}: {step}\n"))
        .collect();
    format!("drain_method_params:\n{lines}")
}

#[test]
fn http_drains_need_all_four_steps_whole() {
    let step =
        "{url_format: 'http://{host}:{port}/drain', method: POST, success_codes: '200-399,407'}";
    let lines = format!("drain_method: http\n{}", http(&STEPS, step));
    match main_with(&lines).unwrap().drain {
        DrainMethod::Http { params } => {
            let params: serde_json::Value = serde_json::from_str(&params).unwrap();
            assert_eq!(params["drain"]["method"], "POST");
        }
        other => panic!("{other:?}"),
    }
    // As in PaaSTA, what is called by may be left out.
    let bare = "{url_format: 'http://{host}:{port}/drain', success_codes: 200}";
    let lines = format!("drain_method: http\n{}", http(&STEPS, bare));
    assert!(main_with(&lines).is_ok());
    let said = refused("drain_method: http");
    assert!(
        said[0].starts_with("2:17: main.drain_method: method http needs"),
        "{said:?}"
    );
    let said = refused(&format!("drain_method: http\n{}", http(&STEPS[..3], step)));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("drain_method_params.is_safe_to_kill: is missing"),
        "{said:?}"
    );
    let said = refused(&http(&STEPS, step));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("these are parameters of drain_method: http"),
        "{said:?}"
    );
    for (step, expected) in [
        (
            "{method: GET, success_codes: 200}",
            "url_format: is missing",
        ),
        ("{url_format: x, method: GET}", "success_codes: is missing"),
        (
            "{url_format: x, method: GET, success_codes: '2xx'}",
            "expected codes such as",
        ),
        (
            "{url_format: x, method: GET, success_codes: 99}",
            "expected codes such as",
        ),
        (
            "{url_format: x, method: GET, success_codes: 200, extra: 1}",
            "extra: unknown field",
        ),
        ("5", "expected a map"),
    ] {
        let said = refused(&format!("drain_method: http\n{}", http(&STEPS, step)));
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said.iter().all(|line| line.contains(expected)), "{said:?}");
    }
}

#[test]
fn drain_methods_are_checked_by_name_and_parameter() {
    let said = refused("drain_method: hachek\ndrain_method_params: {delay: 1}");
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("expected one of noop, hacheck, http, test"),
        "{said:?}"
    );
    let step = "{url_format: u, success_codes: 200}";
    let more = format!("drain_method: http\n{}  dran: {step}\n", http(&STEPS, step));
    let said = refused(&more);
    assert_eq!(said.len(), 1);
    let message = "drain_method_params.dran: is no parameter of drain_method http";
    assert!(said[0].contains(message), "{said:?}");
}
