//! The `bounce_*` and `drain_*` fields.

use super::{Bounce, fields::SECONDS_MAX};
use crate::{
    soa::{
        decode::{Fields, Range},
        node::Node,
        smartstack::Namespace,
    },
    spec::{BounceMethod, DrainMethod, HACHECK_PORT, Margin, OnDeadline, PROGRESS_DEADLINE_MS},
};

/// hacheck's own delay, and the one PaaSTA gives to instances in the load balancer.
const HACHECK_DELAY_MS: u64 = 240_000;
const HACHECK_DELAY_SMARTSTACK_MS: u64 = 60_000;
/// What the method `http` asks of the service.
const HTTP_STEPS: [&str; 4] = ["drain", "stop_draining", "is_draining", "is_safe_to_kill"];

/// How the instance moves from one version to the next.
pub(super) fn bounce(fields: &mut Fields<'_, '_>) -> Bounce {
    let names = BounceMethod::ALL.map(BounceMethod::as_str);
    let method = fields.choice("bounce_method", &names);
    let fraction = fields.number("bounce_margin_factor", Range::above(0.0, 1.0));
    let (check_load_balancer, min_task_uptime_ms) = happiness(fields);
    let outcomes = ["go_on", "hold", "rollback"];
    Bounce {
        method: method
            .and_then(BounceMethod::from_name)
            .unwrap_or(BounceMethod::Crossover),
        margin: fraction.and_then(Margin::new).unwrap_or(Margin::ONE),
        check_load_balancer,
        min_task_uptime_ms,
        start_deadline_ms: fields
            .seconds("bounce_start_deadline", Range::within(0.0, SECONDS_MAX))
            .unwrap_or(0),
        progress_deadline_ms: fields
            .seconds("bounce_progress_deadline", Range::within(1.0, SECONDS_MAX))
            .unwrap_or(PROGRESS_DEADLINE_MS),
        on_deadline: match fields.choice("bounce_on_deadline", &outcomes) {
            Some("hold") => OnDeadline::Hold,
            Some("rollback") => OnDeadline::Rollback,
            _ => OnDeadline::GoOn,
        },
    }
}

/// `bounce_health_params`. Once given, it replaces PaaSTA's default whole: what it does not name
/// is not checked.
fn happiness(fields: &mut Fields<'_, '_>) -> (Option<bool>, Option<u64>) {
    let Some(mut params) = fields.map("bounce_health_params") else {
        return (None, None);
    };
    let check = params.boolean("check_haproxy").unwrap_or(false);
    params.number("haproxy_min_fraction_up", Range::above(0.0, 1.0));
    let uptime = params.seconds("min_task_uptime", Range::within(0.0, SECONDS_MAX));
    params.refuse_unknown();
    (Some(check), uptime)
}

/// `drain_method` and its parameters. In the load balancer the default is to wait there, outside
/// of it there is nothing to leave.
pub(super) fn drain(fields: &mut Fields<'_, '_>, namespace: Option<&Namespace>) -> DrainMethod {
    let announced = namespace.is_some_and(|namespace| namespace.proxy_port.is_some());
    let default = if announced { "hacheck" } else { "noop" };
    let given = fields.has("drain_method");
    let method = fields.choice("drain_method", &["noop", "hacheck", "http", "test"]);
    let node = fields.node("drain_method_params");
    let (Some(node), Some(mut params)) = (node, fields.map("drain_method_params")) else {
        return without_params(fields, method.unwrap_or(default), announced);
    };
    if !given && HTTP_STEPS.iter().any(|step| params.has(step)) {
        let message = "these are parameters of drain_method: http; name that method";
        params.error("", &node.mark, message);
        return DrainMethod::Noop;
    }
    match (method, given) {
        // The method was refused already; its parameters cannot be judged.
        (None, true) => DrainMethod::Noop,
        (method, _) => with_params(&mut params, node, method.unwrap_or(default)),
    }
}

fn without_params(fields: &mut Fields<'_, '_>, method: &str, announced: bool) -> DrainMethod {
    match method {
        "hacheck" => DrainMethod::hacheck(match announced {
            true => HACHECK_DELAY_SMARTSTACK_MS,
            false => HACHECK_DELAY_MS,
        }),
        "test" => DrainMethod::Test { delay_ms: 0 },
        "http" => {
            if let Some(node) = fields.node("drain_method") {
                let steps = HTTP_STEPS.join(", ");
                let message = format!("method http needs drain_method_params with {steps}");
                fields.error("drain_method", &node.mark, message);
            }
            DrainMethod::Noop
        }
        _ => DrainMethod::Noop,
    }
}

fn with_params(params: &mut Fields<'_, '_>, node: &Node, method: &str) -> DrainMethod {
    let span = Range::within(0.0, SECONDS_MAX);
    let drain = match method {
        "hacheck" => DrainMethod::Hacheck {
            delay_ms: params.seconds("delay", span).unwrap_or(HACHECK_DELAY_MS),
            port: params.port("hacheck_port", 1).unwrap_or(HACHECK_PORT),
            expiration_ms: params.seconds("expiration", span).unwrap_or(0),
        },
        "test" => DrainMethod::Test {
            delay_ms: params.seconds("delay", span).unwrap_or(0),
        },
        "http" => {
            for step in HTTP_STEPS {
                http_step(params, node, step);
            }
            DrainMethod::Http {
                params: node.to_json().to_string(),
            }
        }
        _ => {
            params.seconds("delay", span);
            DrainMethod::Noop
        }
    };
    params.refuse_unknown();
    drain
}

/// One sub-map of the method `http`: all three of its fields are required.
fn http_step(params: &mut Fields<'_, '_>, node: &Node, step: &'static str) {
    if !params.has(step) {
        params.error(step, &node.mark, "is missing: method http needs it");
        return;
    }
    let mark = params.node(step).map_or(&node.mark, |node| &node.mark);
    let Some(mut fields) = params.map(step) else {
        return;
    };
    fields.text("url_format");
    fields.text("method");
    if let Some(codes) = fields.node("success_codes")
        && !success_codes(codes)
    {
        let message = format!(
            "expected codes such as 200-399,407, found {}",
            codes.describe()
        );
        fields.error("success_codes", &codes.mark, message);
    }
    for key in ["url_format", "method", "success_codes"] {
        if !fields.has(key) {
            fields.error(key, mark, "is missing");
        }
    }
    fields.refuse_unknown();
}

/// `200`, or text such as `200-399,407`.
fn success_codes(node: &Node) -> bool {
    use crate::soa::node::Value;
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
