//! The list of fields is what the decoder asks for, no more and no less.

use super::{fields::instance, *};
use crate::{
    id::{ClusterName, InstanceName, ServiceName},
    soa::{node::Map, table::Record},
};

#[test]
fn every_listed_field_is_decoded_and_every_decoded_field_is_listed() {
    let (service, instance_name) = (ServiceName::new("web"), InstanceName::new("main"));
    let (service, instance_name) = (service.unwrap(), instance_name.unwrap());
    let cluster = ClusterName::new("prod").unwrap();
    let (mark, monitoring) = (Mark::file("f"), Monitoring::default());
    let context = Context {
        kind: InstanceType::Marathon,
        service: &service,
        instance: &instance_name,
        cluster: &cluster,
        mark: &mark,
        docker_registry: None,
        monitoring: &monitoring,
        namespaces: &|_| Ok(None),
    };
    let (map, mut problems) = (Map::default(), Vec::new());
    let mut fields = Record::open(&map, &INSTANCE, "main", &mark, &mut problems);
    instance(&mut fields, &context);
    let asked: Vec<&str> = fields.asked().collect();
    assert_eq!(asked, INSTANCE.keys().collect::<Vec<_>>());
    assert!(problems.is_empty(), "{problems:?}");
}
