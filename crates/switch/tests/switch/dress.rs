//! The projects that a stack becomes.

use std::collections::BTreeMap;

use turnout_compose::{
    load::{LoadRequest, load},
    model::Project,
    render::{Format, render},
    source::MapFiles,
};
use turnout_switch::{
    derive,
    dress::{Dress, Missing, StayingDress, coloured, staying},
};

use crate::support::{no_facts, project, tracked};

const TEXT: &str = "
services:
  web:
    build: .
    hostname: web.example.org
    ports: ['80:8000', '127.0.0.1:81:8001']
    scale: 2
    links: ['db:database', api]
    depends_on: {db: {condition: service_healthy}, api: {condition: service_started}}
    volumes: ['uploads:/u']
    networks: [default, edge]
    restart: always
  api: {build: ./api, container_name: the-api}
  db: {image: postgres, volumes: ['data:/d'], healthcheck: {test: ok}}
volumes: {data: {}, uploads: {}}
networks: {default: {ipam: {config: [{subnet: 172.31.0.0/16}]}}, edge: {external: true, name: the-edge}}
";

fn dress() -> Dress {
    Dress {
        name: "blueshop".into(),
        staying: "shop-stays".into(),
        loopback: [(("web".into(), 8000), 20_000), (("web".into(), 8001), 20_010)].into(),
        volumes: [("data".into(), "redshop_data".into())].into(),
        snapshots: BTreeMap::new(),
    }
}

/// Prints a project and loads what was printed.
fn again(project: &Project) -> Project {
    let text = render(project, Format::Yaml, true).unwrap();
    let request = LoadRequest {
        working_dir: "/srv/shop".into(),
        files: vec!["compose.yaml".into()],
        project_name: Some(project.name.clone()),
        ..LoadRequest::default()
    };
    let files = MapFiles::new([("/srv/shop/compose.yaml", text.as_str())]);
    load(&request, &files).unwrap_or_else(|error| panic!("{error}\n{text}")).project
}

#[test]
fn a_colour() {
    let project = project(TEXT);
    let derived = derive(&project, &no_facts(), &turnout_switch::Said::default());
    let dressed = coloured(&project, &derived, &dress()).unwrap();
    assert_eq!(dressed.project.name, "blueshop");
    assert_eq!(dressed.project.services.keys().collect::<Vec<_>>(), ["api", "web"]);

    let web = &dressed.project.services["web"];
    let ports: Vec<_> =
        web.ports.iter().map(|port| format!("{}:{}:{}", port.host_ip, port.published, port.target)).collect();
    assert_eq!(ports, ["127.0.0.1:20000-20001:8000", "127.0.0.1:20010-20011:8001"]);
    assert_eq!((web.hostname.as_str(), web.restart.as_str()), ("web.example.org", "always"));
    assert_eq!(web.networks["edge"], None);
    let api = &dressed.project.services["api"];
    assert_eq!((api.container_name.as_str(), api.ports.len()), ("", 0));
    assert_eq!(api.networks["default"].as_ref().unwrap().aliases, ["the-api"]);
    assert_eq!(web.links, ["api"]);
    assert_eq!(web.depends_on.keys().collect::<Vec<_>>(), ["api"]);
    assert_eq!(dressed.waits, [("web".into(), "db".into(), "service_healthy".into())]);
    assert_eq!(dressed.project.nameless["web"], ["edge".to_owned(), "turnout-link-default".to_owned()].into());
    assert_eq!(dressed.project.nameless["api"], ["turnout-link-default".to_owned()].into());

    let network = |key: &str| dressed.project.networks[key].clone().unwrap();
    assert_eq!(network("default").name, "blueshop_default");
    assert!(network("default").ipam.config.is_empty());
    let link = network("turnout-link-default");
    assert_eq!((link.name.as_str(), link.external), ("shop-stays_turnout-link-default", true));
    assert_eq!(network("edge").name, "the-edge");
    // A colour owns no volume.
    assert_eq!(dressed.project.volumes.keys().collect::<Vec<_>>(), ["uploads"]);
    let uploads = dressed.project.volumes["uploads"].clone().unwrap();
    assert_eq!((uploads.name.as_str(), uploads.external), ("shop_uploads", true));
    again(&dressed.project);
}

#[test]
fn what_stays() {
    let project = project(TEXT);
    let derived = derive(&project, &no_facts(), &turnout_switch::Said::default());
    let dress = StayingDress { name: "shop-stays".into(), volumes: dress().volumes, ..StayingDress::default() };
    let dressed = staying(&project, &derived, &dress).unwrap();
    assert_eq!(dressed.services.keys().collect::<Vec<_>>(), ["db"]);
    let db = &dressed.services["db"];
    assert_eq!(db.networks["turnout-link-default"].as_ref().unwrap().aliases, ["db", "database"]);
    let link = dressed.networks["turnout-link-default"].clone().unwrap();
    assert_eq!((link.name.as_str(), link.internal, link.external), ("shop-stays_turnout-link-default", true, false));
    let volumes: Vec<_> =
        dressed.volumes.values().flatten().map(|volume| (volume.name.as_str(), volume.external)).collect();
    assert_eq!(volumes, [("redshop_data", true), ("shop_uploads", false)]);
    again(&dressed);
}

#[test]
fn what_is_not_given_is_said() {
    let project = project(TEXT);
    let derived = derive(&project, &no_facts(), &turnout_switch::Said::default());
    let bare = Dress { loopback: Default::default(), ..dress() };
    let missing = coloured(&project, &derived, &bare).unwrap_err();
    assert_eq!(missing, Missing::Port { service: "web".into(), port: 8000 });
}

#[test]
fn a_front_that_stays_finds_the_proxy() {
    let text = "
services:
  caddy: {image: caddy, ports: ['80:80'], volumes: ['./Caddyfile:/c', 'data:/data'], depends_on: [app]}
  app: {build: ., container_name: the-app}
volumes: {data: {}}
";
    let project = project(text);
    let facts = tracked(&[("/srv/shop/Caddyfile", "reverse_proxy the-app:8000")]);
    let derived = derive(&project, &facts, &turnout_switch::Said::default());
    let dress = StayingDress { name: "shop-stays".into(), ..StayingDress::default() };
    let missing = staying(&project, &derived, &dress).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the gateway of the network default is not known, and caddy is to find the proxy there"
    );
    let dress = StayingDress { gateways: [("default".into(), [172, 20, 0, 1].into())].into(), ..dress };
    let dressed = staying(&project, &derived, &dress).unwrap();
    let caddy = &dressed.services["caddy"];
    assert_eq!(caddy.extra_hosts.lines("="), ["app=172.20.0.1", "the-app=172.20.0.1"]);
    assert!(caddy.depends_on.is_empty() && caddy.ports.len() == 1);
}
