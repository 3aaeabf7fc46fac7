//! The list of fields is what the decoder asks for, no more and no less.

use std::cell::RefCell;

use super::{
    fields::{Lookup, instance},
    *,
};
use crate::{
    id::{ClusterName, InstanceName, ServiceName},
    soa::{node::Map, smartstack, table::Record, yaml},
};

fn decoded<T>(lookup: &Lookup<'_>, decode: impl FnOnce(&Context<'_>) -> T) -> T {
    let (service, name) = (ServiceName::new("web"), InstanceName::new("main"));
    let (service, name) = (service.unwrap(), name.unwrap());
    let cluster = ClusterName::new("prod").unwrap();
    let (mark, monitoring) = (Mark::file("f"), Monitoring::default());
    decode(&Context {
        kind: InstanceType::Marathon,
        service: &service,
        instance: &name,
        cluster: &cluster,
        mark: &mark,
        docker_registry: None,
        monitoring: &monitoring,
        namespaces: lookup,
    })
}

#[test]
fn every_listed_field_is_decoded_and_every_decoded_field_is_listed() {
    let (map, mut problems) = (Map::default(), Vec::new());
    let mark = Mark::file("f");
    let mut fields = Record::open(&map, &INSTANCE, "main", &mark, &mut problems);
    decoded(&|_| Ok(None), |context| instance(&mut fields, context));
    let asked: Vec<&str> = fields.asked().collect();
    assert_eq!(asked, INSTANCE.keys().collect::<Vec<_>>());
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn each_registration_is_looked_up_once() {
    let looked_up = RefCell::new(Vec::new());
    let lookup = |registration: &str| {
        looked_up.borrow_mut().push(registration.to_owned());
        let root = yaml::parse("smartstack.yaml", "main: {proxy_port: 20000}\nplain: {}\n");
        let mut found = smartstack::namespaces(&root.unwrap());
        let name = registration.split_once('.').unwrap().1;
        found.remove(name).transpose()
    };
    let fields = yaml::parse("f", "registrations: [web.main, other.main, other.plain]\n").unwrap();
    let mut problems = Vec::new();
    let config = decoded(&lookup, |context| {
        decode(fields.as_map().unwrap(), context, &mut problems).unwrap()
    });
    assert!(problems.is_empty(), "{problems:?}");
    let names: Vec<&str> = config.namespaces.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["other.main", "web.main"]);
    assert!(config.namespace.is_some());
    assert_eq!(
        looked_up.into_inner(),
        ["web.main", "other.main", "other.plain"]
    );
}
