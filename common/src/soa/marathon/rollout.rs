//! The `bounce_*` and `drain_*` fields.

use super::{Bounce, forms::DRAIN};
use crate::{
    problem::Rule,
    soa::{node::Node, smartstack::Namespace, table::Record},
    spec::{BounceMethod, DrainMethod, HACHECK_PORT, Margin, OnDeadline, PROGRESS_DEADLINE_MS},
    typo,
};

/// hacheck's own delay, and the one PaaSTA gives to instances in the load balancer.
const HACHECK_DELAY_MS: u64 = 240_000;
const HACHECK_DELAY_SMARTSTACK_MS: u64 = 60_000;
/// What the method `http` asks of the service.
const HTTP_STEPS: [&str; 4] = ["drain", "is_draining", "is_safe_to_kill", "stop_draining"];

/// How the instance moves from one version to the next.
pub(super) fn bounce(fields: &mut Record<'_, '_>) -> Bounce {
    let fraction = fields.number("bounce_margin_factor");
    let Happiness {
        check_load_balancer,
        min_fraction_up,
        min_task_uptime_ms,
    } = happiness(fields);
    Bounce {
        method: method(fields),
        margin: fraction.and_then(Margin::new).unwrap_or(Margin::ONE),
        check_load_balancer,
        min_fraction_up: min_fraction_up.unwrap_or(Margin::ONE),
        min_task_uptime_ms,
        start_deadline_ms: fields.seconds("bounce_start_deadline").unwrap_or_default(),
        progress_deadline_ms: fields
            .seconds("bounce_progress_deadline")
            .unwrap_or(PROGRESS_DEADLINE_MS),
        on_deadline: match fields.text("bounce_on_deadline").as_deref() {
            Some("hold") => OnDeadline::Hold,
            Some("rollback") => OnDeadline::Rollback,
            _ => OnDeadline::GoOn,
        },
    }
}

/// PaaSTA's schema takes any text here, so a name that does not exist is a rule of its own.
fn method(fields: &mut Record<'_, '_>) -> BounceMethod {
    let name = fields.text("bounce_method").unwrap_or_default();
    if let Some(method) = BounceMethod::from_name(&name) {
        return method;
    }
    if let Some(node) = fields.good("bounce_method") {
        let names = BounceMethod::ALL.map(BounceMethod::as_str);
        let near = typo::did_you_mean(&name, names);
        let (list, found) = (names.join(", "), node.describe());
        let message = format!("expected one of {list}, found {found}{near}");
        fields.error("bounce_method", &node.mark, Rule::BounceMethod, message);
    }
    BounceMethod::Crossover
}

/// What makes a replica happy, as far as it is given.
#[derive(Default)]
struct Happiness {
    check_load_balancer: Option<bool>,
    min_fraction_up: Option<Margin>,
    min_task_uptime_ms: Option<u64>,
}

/// `bounce_health_params`. Once given, it replaces PaaSTA's default whole: what it does not name
/// is not checked.
fn happiness(fields: &mut Record<'_, '_>) -> Happiness {
    let Some(mut params) = fields.map("bounce_health_params") else {
        return Happiness::default();
    };
    let fraction = params.number("haproxy_min_fraction_up");
    Happiness {
        check_load_balancer: params.boolean("check_haproxy"),
        min_fraction_up: fraction.and_then(Margin::new),
        min_task_uptime_ms: params.seconds("min_task_uptime"),
    }
}

/// `drain_method` and its parameters. In the load balancer the default is to wait there, outside
/// of it there is nothing to leave.
pub(super) fn drain(fields: &mut Record<'_, '_>, namespace: Option<&Namespace>) -> DrainMethod {
    let announced = namespace.is_some_and(|namespace| namespace.options.proxy_port.is_some());
    let default = if announced { "hacheck" } else { "noop" };
    let given = fields.has("drain_method");
    let method = fields.text("drain_method");
    let node = fields.node("drain_method_params");
    let (Some(node), Some(mut params)) = (node, fields.map("drain_method_params")) else {
        return without_params(fields, method.as_deref().unwrap_or(default), announced);
    };
    if !given && HTTP_STEPS.iter().any(|step| params.has(step)) {
        let message = "these are parameters of drain_method: http; name that method";
        params.error("", &node.mark, Rule::Conflict, message);
        return DrainMethod::Noop;
    }
    match (method.as_deref(), given) {
        // The method was refused already; its parameters cannot be judged.
        (None, true) => DrainMethod::Noop,
        (method, _) => with_params(&mut params, node, method.unwrap_or(default)),
    }
}

fn without_params(fields: &mut Record<'_, '_>, method: &str, announced: bool) -> DrainMethod {
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
                fields.error("drain_method", &node.mark, Rule::Conflict, message);
            }
            DrainMethod::Noop
        }
        _ => DrainMethod::Noop,
    }
}

/// Parameters that the method does not have. PaaSTA's methods ignore them, but for `http`, which
/// fails.
fn foreign(params: &mut Record<'_, '_>, method: &str, own: &[&str]) {
    for (key, entry) in &params.raw().entries {
        if own.contains(&key.as_str()) {
            continue;
        }
        let rule = match DRAIN.get(key) {
            Some(_) => Rule::Conflict,
            None => Rule::UnknownField,
        };
        let near = typo::did_you_mean(key, own.iter().copied());
        let list = own.join(", ");
        let message = format!("is no parameter of drain_method {method}, whose are {list}{near}");
        match method {
            "http" => params.error(key, &entry.key, rule, message),
            _ => params.warn(key, &entry.key, rule, format!("is ignored: it {message}")),
        }
    }
}

fn with_params(params: &mut Record<'_, '_>, node: &Node, method: &str) -> DrainMethod {
    let own: &[&str] = match method {
        "hacheck" => &["delay", "expiration", "hacheck_port"],
        "http" => &HTTP_STEPS,
        _ => &["delay"],
    };
    foreign(params, method, own);
    let delay_ms = params.seconds("delay");
    match method {
        "hacheck" => DrainMethod::Hacheck {
            delay_ms: delay_ms.unwrap_or(HACHECK_DELAY_MS),
            port: params.port("hacheck_port").unwrap_or(HACHECK_PORT),
            expiration_ms: params.seconds("expiration").unwrap_or(0),
        },
        "test" => DrainMethod::Test {
            delay_ms: delay_ms.unwrap_or(0),
        },
        "http" => {
            for step in HTTP_STEPS {
                if params.node(step).is_none() {
                    let message = "is missing: method http needs it";
                    params.error(step, &node.mark, Rule::Required, message);
                }
            }
            DrainMethod::Http {
                params: node.to_json().to_string(),
            }
        }
        _ => DrainMethod::Noop,
    }
}
