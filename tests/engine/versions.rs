//! What only newer engines can do: refused by name on an older one, carried out on a newer one exactly as the real
//! `docker compose` does. Run on several engines; see docs/engines.md.

use crate::{common, compose_cli_support};
use common::{docker, inspect};
use compose_cli_support::{Site, compose_is_installed};
use serde_json::{Value, json};

/// An attribute and the version that brought it.
struct Feature<'a> {
    /// Minor version of API 1, and the release that has it.
    needs: (usize, &'a str),
    /// As the refusal names it, below the service; with its own place where it is not the service's.
    attribute: &'a str,
    /// The whole file; its service `web` has the attribute.
    yaml: &'a str,
    /// Where in the inspection it is seen (`@` stands for the project's name), and as what.
    seen: &'a [(&'a str, Value)],
    /// Whether the real tool refuses it on older engines as well, with this text.
    theirs: Option<&'a str>,
}

fn check(feature: &Feature<'_>) {
    let Feature { needs: (api, release), attribute, yaml, seen, theirs } = feature;
    let site = Site::new(yaml);
    site.write("page", "a page");
    let have = docker::api();
    if have < *api {
        let reason = format!("needs Docker Engine {release} (API 1.{api}) or later, this daemon speaks API 1.{have}");
        let place = if attribute.starts_with("networks:") { "" } else { "services.web." };
        let attribute = attribute.replace("networks:", "networks");
        site.ours(&["up", "-d"]).fails(&format!("{place}{attribute}: {reason}"));
        assert!(site.ids().is_empty(), "refused before anything was made");
        if let (Some(text), true) = (theirs, compose_is_installed()) {
            site.theirs(&["up", "-d"]).fails(text);
        }
        return;
    }
    site.ours(&["up", "-d"]).ok();
    let web = format!("/{}-web-1", site.project);
    let ours = inspect::project(&site.project);
    for (at, wanted) in *seen {
        let at = at.replace('@', &site.project);
        assert_eq!(ours[&web].pointer(&at), Some(wanted), "{at} in {:#}", ours[&web]);
    }
    if !compose_is_installed() {
        return;
    }
    let before = site.ids();
    let said = site.theirs(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before, "the real one finds nothing to change: {said:?}");
    site.theirs(&["down", "-v"]).ok();
    site.theirs(&["up", "-d"]).ok();
    inspect::assert_same(&inspect::project(&site.project), &ours);
    let before = site.ids();
    let said = site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before, "we find nothing to change: {said:?}");
}

/// Does what the real tool does, and says what it leaves out of the container.
fn left_out(yaml: &str, told: &str) {
    let site = Site::new(yaml);
    let said = site.ours(&["up", "-d"]).ok().err;
    assert!(said.contains(told) && said.contains("compose.yaml"), "{said}");
    if !compose_is_installed() {
        return;
    }
    let (ours, before) = (inspect::project(&site.project), site.ids());
    let said = site.theirs(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before, "the real one finds nothing to change: {said:?}");
    site.theirs(&["down"]).ok();
    site.theirs(&["up", "-d"]).ok();
    inspect::assert_same(&inspect::project(&site.project), &ours);
}

#[test]
fn annotations() {
    if docker::api() < 43 {
        return left_out(
            "services: {web: {image: 'IMAGE', QUICK, annotations: {com.example.colour: red}}}\n",
            "services.web.annotations (in ",
        );
    }
    check(&Feature {
        needs: (43, "24.0"),
        attribute: "annotations",
        yaml: "services: {web: {image: 'IMAGE', QUICK, annotations: {com.example.colour: red}}}\n",
        seen: &[("/HostConfig/Annotations/com.example.colour", json!("red"))],
        theirs: None,
    });
}

#[test]
fn the_interval_of_checks_while_starting() {
    check(&Feature {
        needs: (44, "25.0"),
        attribute: "healthcheck.start_interval",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    healthcheck: {test: [CMD, 'true'], interval: 1m, start_period: 30s, start_interval: 1s}
",
        seen: &[("/Config/Healthcheck/StartInterval", json!(1_000_000_000))],
        theirs: Some("start_interval"),
    });
}

#[test]
fn a_mac_address_of_a_further_network() {
    check(&Feature {
        needs: (44, "25.0"),
        attribute: "networks.back.mac_address",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    networks: {front: {priority: 9}, back: {mac_address: '02:00:5e:10:00:02'}}
networks: {front: {}, back: {}}
",
        seen: &[("/NetworkSettings/Networks/@_back/MacAddress", json!("02:00:5e:10:00:02"))],
        theirs: None,
    });
}

#[test]
fn a_read_only_bind_all_the_way_down() {
    check(&Feature {
        needs: (44, "25.0"),
        attribute: "volumes[0].bind.recursive",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    volumes:
      - {type: bind, source: ., target: /site, read_only: true, bind: {recursive: readonly, propagation: rprivate}}
",
        seen: &[("/HostConfig/Mounts/0/BindOptions/ReadOnlyForceRecursive", json!(true))],
        theirs: Some("bind-recursive=readonly requires"),
    });
}

#[test]
fn a_part_of_a_volume() {
    check(&Feature {
        needs: (45, "26.0"),
        attribute: "volumes[0].volume.subpath",
        yaml: "services:
  make:
    image: IMAGE
    command: [sh, -c, 'test -d /all/part || mkdir -p /all/part']
    entrypoint: []
    volumes: ['state:/all']
  web:
    image: IMAGE
    QUICK
    depends_on: {make: {condition: service_completed_successfully}}
    volumes: [{type: volume, source: state, target: /part, volume: {subpath: part}}]
volumes: {state: {}}
",
        seen: &[("/HostConfig/Mounts/0/VolumeOptions/Subpath", json!("part"))],
        theirs: None,
    });
}

#[test]
fn the_files_of_an_image() {
    check(&Feature {
        needs: (48, "28.0"),
        attribute: "volumes[0].type",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    command: [sh, -c, 'test -x /tools/bin/busybox && exec sleep 1000']
    volumes: [{type: image, source: 'IMAGE', target: /tools}]
",
        seen: &[("/HostConfig/Mounts/0/Type", json!("image")), ("/State/Running", json!(true))],
        theirs: Some("type=image"),
    });
}

#[test]
fn a_part_of_an_image() {
    check(&Feature {
        needs: (48, "28.0"),
        attribute: "volumes[0].type",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    command: [sh, -c, 'test -x /tools/busybox && exec sleep 1000']
    volumes: [{type: image, source: 'IMAGE', target: /tools, image: {subpath: bin}}]
",
        seen: &[("/HostConfig/Mounts/0/ImageOptions/Subpath", json!("bin")), ("/State/Running", json!(true))],
        theirs: Some("type=image"),
    });
}

#[test]
fn which_network_has_the_way_out() {
    check(&Feature {
        needs: (48, "28.0"),
        attribute: "networks.back.gw_priority",
        yaml: "services:
  web: {image: 'IMAGE', QUICK, networks: {back: {gw_priority: 5}, front: {}}}
networks: {front: {}, back: {}}
",
        seen: &[("/NetworkSettings/Networks/@_back/GwPriority", json!(5))],
        theirs: None,
    });
}

#[test]
fn a_network_without_ipv4() {
    check(&Feature {
        needs: (48, "28.0"),
        attribute: "networks:.back.enable_ipv4",
        yaml: "services: {web: {image: 'IMAGE', QUICK, networks: [back]}}
networks: {back: {enable_ipv4: false, enable_ipv6: true, ipam: {config: [{subnet: 'fd00:71:5e::/64'}]}}}
",
        seen: &[("/NetworkSettings/Networks/@_back/IPAddress", json!(""))],
        theirs: None,
    });
}

/// BuildKit knows limits of builds from API 1.42 on; before, the classic builder takes over.
#[test]
fn limits_of_a_build() {
    let site = Site::new("services: {web: {build: {context: ., network: none, ulimits: {nofile: 1234}}, QUICK}}\n");
    site.write("Dockerfile", "FROM IMAGE\nRUN ulimit -n >/limit\nCMD [\"sleep\", \"1000\"]\n");
    let built = site.ours(&["up", "-d", "--build"]).ok();
    assert_eq!(site.exec("web", "cat /limit").trim(), "1234", "{built:?}");
    assert_eq!(built.err.contains("BuildKit does not support build.ulimits"), docker::api() < 42, "{built:?}");
}

#[test]
fn the_name_of_an_interface() {
    check(&Feature {
        needs: (49, "28.1"),
        attribute: "networks.back.interface_name",
        yaml: "services:
  web:
    image: IMAGE
    QUICK
    command: [sh, -c, 'ip link show uplink7 && exec sleep 1000']
    networks: {back: {interface_name: uplink7}}
networks: {back: {}}
",
        seen: &[
            ("/NetworkSettings/Networks/@_back/DriverOpts/com.docker.network.endpoint.ifname", json!("uplink7")),
            ("/State/Running", json!(true)),
        ],
        theirs: Some("interface_name requires"),
    });
}

#[test]
fn a_mac_address_without_a_network_of_the_project() {
    let yaml = "services: {web: {image: 'IMAGE', QUICK, mac_address: '02:00:5e:10:00:07', network_mode: bridge}}\n";
    if docker::api() >= 44 {
        return left_out(yaml, "services.web.mac_address (in ");
    }
    let site = Site::new(yaml);
    site.ours(&["up", "-d"]).ok();
    let found = inspect::project(&site.project);
    let web = &found[&format!("/{}-web-1", site.project)];
    assert_eq!(web.pointer("/Config/MacAddress"), Some(&json!("02:00:5e:10:00:07")), "{web:#}");
}

/// Every engine: what changed its way through the API between the versions.
#[test]
fn all_networks_with_their_settings_from_the_creation_on() {
    let site = Site::new(
        "services:
  web:
    image: IMAGE
    QUICK
    mac_address: 02:00:5e:10:00:01
    networks:
      front: {aliases: [shop], priority: 9, ipv4_address: 10.213.71.5}
      back: {aliases: [store], link_local_ips: [169.254.8.8]}
  db: {image: 'IMAGE', QUICK, networks: [back], links: ['cache:quick']}
  cache: {image: 'IMAGE', QUICK, networks: [back], platform: linux/amd64}
networks:
  front: {ipam: {config: [{subnet: 10.213.71.0/24}]}}
  back: {}
",
    );
    site.ours(&["create"]).ok();
    let created = inspect::project(&site.project);
    let web = format!("/{}-web-1", site.project);
    let networks = created[&web]["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.len(), 2, "attached before it starts: {networks:#?}");
    site.ours(&["start"]).ok();
    let ours = inspect::project(&site.project);
    let front = &ours[&web]["NetworkSettings"]["Networks"][format!("{}_front", site.project)];
    assert_eq!(
        (front["MacAddress"].as_str(), front["IPAddress"].as_str()),
        (Some("02:00:5e:10:00:01"), Some("10.213.71.5"))
    );
    assert_eq!(site.exec("db", "nslookup store | grep -c Address").trim(), "2");
    assert_eq!(site.exec("db", "nslookup quick | grep -c Address").trim(), "2");
    if !compose_is_installed() {
        return;
    }
    let before = site.ids();
    let said = site.theirs(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before, "{said:?}");
    site.theirs(&["down", "-v"]).ok();
    site.theirs(&["up", "-d"]).ok();
    inspect::assert_same(&inspect::project(&site.project), &ours);
}
