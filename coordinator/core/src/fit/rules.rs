//! The placement rules of an app, ready to be asked: its pool and its constraints with their
//! patterns compiled. Rules that depend on where other replicas are keep their counts in
//! [`super::tally`].

use paasta_common::{
    app::{AppSpec, Constraint, Operator},
    host::HostInfo,
};
use regex::Regex;

use super::Unfit;

/// The most memory a compiled pattern may take, in bytes: patterns come from service authors.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// The rules of one app.
#[derive(Debug)]
pub(crate) struct Rules {
    pool: String,
    pub(crate) rules: Vec<Rule>,
}

/// One constraint.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) attribute: String,
    pub(crate) test: Test,
    text: String,
}

/// What a constraint asks for.
#[derive(Debug)]
pub(crate) enum Test {
    Like(Pattern),
    Unlike(Pattern),
    /// At most so many replicas of the app for each value; UNIQUE is one.
    MaxPer(u32),
    Cluster(Option<String>),
    GroupBy(Option<u32>),
    /// Cannot be understood, so it holds nowhere: an unmet wish must not place anything.
    Broken,
}

/// A pattern that must match a whole value.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// Without any special character: the usual case, and much the fastest.
    Literal(String),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str) -> Option<Self> {
        if regex::escape(text) == text {
            return Some(Self::Literal(text.to_owned()));
        }
        regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .ok()
            .map(Self::Regex)
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Literal(text) => text == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Rule {
    fn new(constraint: &Constraint) -> Self {
        let value = constraint.value.as_deref();
        let number = || value.map(|text| text.trim().parse::<u32>().ok());
        let test = match constraint.operator {
            Operator::Like => value.and_then(Pattern::new).map(Test::Like),
            Operator::Unlike => value.and_then(Pattern::new).map(Test::Unlike),
            Operator::Unique => Some(Test::MaxPer(1)),
            Operator::MaxPer => number().flatten().map(Test::MaxPer),
            Operator::Cluster => {
                let value = value.filter(|text| !text.is_empty());
                Some(Test::Cluster(value.map(str::to_owned)))
            }
            Operator::GroupBy => match number() {
                None => Some(Test::GroupBy(None)),
                Some(groups) => groups.map(|groups| Test::GroupBy(Some(groups))),
            },
        };
        Self {
            attribute: constraint.attribute.clone(),
            test: test.unwrap_or(Test::Broken),
            text: text_of(constraint),
        }
    }

    pub(crate) fn unfit(&self) -> Unfit {
        Unfit::Constraint {
            constraint: self.text.clone(),
        }
    }

    fn holds(&self, host: &HostInfo) -> bool {
        let value = host.attribute(&self.attribute);
        match (&self.test, value) {
            (Test::Broken, _) => false,
            (Test::Unlike(pattern), value) => !value.is_some_and(|value| pattern.matches(value)),
            (_, None) => false,
            (Test::Like(pattern), Some(value)) => pattern.matches(value),
            (Test::Cluster(Some(wanted)), Some(value)) => wanted == value,
            (Test::Cluster(None) | Test::GroupBy(_) | Test::MaxPer(_), Some(_)) => true,
        }
    }
}

impl Rules {
    pub(crate) fn new(spec: &AppSpec) -> Self {
        Self {
            pool: spec.pool.clone(),
            rules: spec.constraints.iter().map(Rule::new).collect(),
        }
    }

    /// Whether the host fits by what it is, whatever runs where.
    pub(crate) fn allow(&self, host: &HostInfo) -> Result<(), Unfit> {
        if host.pool != self.pool {
            return Err(Unfit::Pool {
                wanted: self.pool.clone(),
            });
        }
        match self.rules.iter().find(|rule| !rule.holds(host)) {
            None => Ok(()),
            Some(rule) => Err(rule.unfit()),
        }
    }
}

impl Rules {
    /// The values of the attributes that GROUP_BY rules balance over, in the order of the rules:
    /// which group the host belongs to.
    pub(crate) fn group_of<'h>(&self, host: &'h HostInfo) -> Vec<&'h str> {
        let grouping = self
            .rules
            .iter()
            .filter(|rule| matches!(rule.test, Test::GroupBy(_)));
        grouping
            .map(|rule| host.attribute(&rule.attribute).unwrap_or_default())
            .collect()
    }
}

/// A text that is equal for two apps exactly when their rules are: what a cache is keyed by.
pub(crate) fn rules_key(spec: &AppSpec) -> String {
    let mut key = spec.pool.clone();
    for constraint in &spec.constraints {
        key.push('\n');
        key.push_str(&text_of(constraint));
    }
    key
}

fn text_of(constraint: &Constraint) -> String {
    let operator = match constraint.operator {
        Operator::Unique => "UNIQUE",
        Operator::Cluster => "CLUSTER",
        Operator::GroupBy => "GROUP_BY",
        Operator::Like => "LIKE",
        Operator::Unlike => "UNLIKE",
        Operator::MaxPer => "MAX_PER",
    };
    match &constraint.value {
        Some(value) => format!("[{}, {operator}, {value}]", constraint.attribute),
        None => format!("[{}, {operator}]", constraint.attribute),
    }
}
