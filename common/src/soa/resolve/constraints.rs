//! Where the replicas may run: PaaSTA's computed constraints.

use std::collections::{BTreeMap, BTreeSet};

use super::Resolver;
use crate::{
    app::{Constraint, Operator},
    problem::Rule,
    smartstack::LOCATION_DEFAULT,
    soa::marathon::{Location, Whitelist},
};

impl Resolver<'_> {
    /// The instance's own list when it gives one, which replaces everything computed. Otherwise:
    /// its extra ones, even spreading, the deploy lists of the instance and of the system, and
    /// small instances never twice on a host. The pool is not among them: [`AppSpec::pool`] says
    /// it.
    ///
    /// [`AppSpec::pool`]: crate::app::AppSpec::pool
    pub(super) fn constraints(&mut self) -> Vec<Constraint> {
        let placement = &self.config.placement;
        if let Some(given) = &placement.constraints {
            return given.clone();
        }
        let mut constraints = placement.extra_constraints.clone();
        constraints.extend(self.spread());
        let (placement, system) = (&self.config.placement, self.system);
        let own = lists(&placement.blacklist, placement.whitelist.as_ref());
        constraints.extend(own);
        let theirs = lists(&system.deploy_blacklist, system.deploy_whitelist.as_ref());
        constraints.extend(theirs);
        if i64::from(self.instances) <= system.auto_hostname_unique_size {
            constraints.push(constraint("hostname", Operator::Unique, None));
        }
        constraints
    }

    /// The pool; an explicit list of constraints that names one literally moves the app there,
    /// since such a list replaces the pool in PaaSTA.
    pub(super) fn pool(&self) -> String {
        let placement = &self.config.placement;
        let literal = |value: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            !value.is_empty() && value.chars().all(plain)
        };
        let named = placement.constraints.iter().flatten().find_map(|one| {
            let exact = matches!(one.operator, Operator::Like | Operator::Cluster);
            let value = one.value.as_deref().filter(|value| literal(value))?;
            (one.attribute == "pool" && exact).then(|| value.to_owned())
        });
        named.unwrap_or_else(|| placement.pool.clone())
    }

    /// `[discover, GROUP_BY, N]`, N being the locations left by the deploy lists among those that
    /// the operator expects; nothing when none are configured.
    fn spread(&mut self) -> Option<Constraint> {
        let hosts = self.system.expected_slave_attributes.as_ref()?;
        let namespace = self.config.namespace.as_ref();
        let discover = namespace.map_or(LOCATION_DEFAULT, |one| one.options.discover.as_str());
        let placement = &self.config.placement;
        let eligible: Vec<&BTreeMap<String, String>> = hosts
            .iter()
            .filter(|host| allowed(host, &placement.blacklist, placement.whitelist.as_ref()))
            .filter(|host| {
                let system = self.system;
                allowed(
                    host,
                    &system.deploy_blacklist,
                    system.deploy_whitelist.as_ref(),
                )
            })
            .collect();
        if eligible.is_empty() {
            let field = ["deploy_whitelist", "deploy_blacklist"]
                .into_iter()
                .find(|field| self.config.origin.fields.contains_key(*field))
                .unwrap_or_default();
            let message = "no host can be eligible: the deploy lists exclude every location of \
                           expected_slave_attributes";
            self.refuse(field, Rule::Conflict, message);
            return None;
        }
        let locations: BTreeSet<&String> = eligible
            .iter()
            .filter_map(|host| host.get(discover))
            .collect();
        let count = (!locations.is_empty()).then(|| locations.len().to_string())?;
        Some(constraint(discover, Operator::GroupBy, Some(count)))
    }
}

fn allowed(
    host: &BTreeMap<String, String>,
    blacklist: &[Location],
    whitelist: Option<&Whitelist>,
) -> bool {
    let excluded = blacklist
        .iter()
        .any(|location| host.get(&location.attribute) == Some(&location.value));
    let included = whitelist.is_none_or(|list| {
        let value = host.get(&list.attribute);
        value.is_some_and(|value| list.values.contains(value))
    });
    included && !excluded
}

/// A blacklist as `UNLIKE`, a whitelist as `LIKE a|b`.
fn lists(blacklist: &[Location], whitelist: Option<&Whitelist>) -> Vec<Constraint> {
    let mut constraints: Vec<Constraint> = blacklist
        .iter()
        .map(|one| constraint(&one.attribute, Operator::Unlike, Some(one.value.clone())))
        .collect();
    constraints.extend(whitelist.map(|list| {
        let values = Some(list.values.join("|"));
        constraint(&list.attribute, Operator::Like, values)
    }));
    constraints
}

fn constraint(attribute: &str, operator: Operator, value: Option<String>) -> Constraint {
    Constraint {
        attribute: attribute.to_owned(),
        operator,
        value,
    }
}
