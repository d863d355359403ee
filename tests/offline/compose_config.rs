//! What `config` prints, byte for byte: the project in `compose-config/project.yaml` and what Docker Compose 2.40.3
//! printed for it, and small rules that no recorded project shows.

use turnout::compose::{
    load::{EnvFiles, LoadOptions, LoadRequest, load, load_model},
    render::{Format, render, render_model},
    source::MapFiles,
};

const PROJECT: &str = include_str!("../compose-config/project.yaml");

fn request(options: LoadOptions) -> LoadRequest {
    LoadRequest { working_dir: "/p".into(), options, ..LoadRequest::default() }
}

fn typed(options: LoadOptions) -> String {
    let files = MapFiles::new([("/p/compose.yaml", PROJECT)]);
    render(&load(&request(options), &files).unwrap().project, Format::Yaml, true).unwrap()
}

fn untyped(format: Format) -> String {
    let files = MapFiles::new([("/p/compose.yaml", PROJECT)]);
    let options = LoadOptions { interpolate: false, ..LoadOptions::default() };
    render_model(&load_model(&request(options), &files).unwrap().root, format, true).unwrap()
}

#[test]
fn yaml_is_what_compose_prints() {
    assert_eq!(typed(LoadOptions::default()), include_str!("../compose-config/config.yaml"));
}

#[test]
fn the_untyped_model_is_what_compose_prints() {
    assert_eq!(untyped(Format::Yaml), include_str!("../compose-config/no-interpolate.yaml"));
    assert_eq!(untyped(Format::Json), include_str!("../compose-config/no-interpolate.json"));
}

#[test]
fn steps_can_be_left_out() {
    let options = LoadOptions { normalise: false, ..LoadOptions::default() };
    assert_eq!(typed(options), include_str!("../compose-config/no-normalize.yaml"));
    let options = LoadOptions { resolve_paths: false, ..LoadOptions::default() };
    assert_eq!(typed(options), include_str!("../compose-config/no-path-resolution.yaml"));
    let inconsistent = MapFiles::new([("/p/compose.yaml", "services: {a: {image: i, depends_on: [nope]}}\n")]);
    let options = LoadOptions { check_consistency: false, ..LoadOptions::default() };
    assert!(load(&request(options), &inconsistent).is_ok());
    assert!(load(&request(LoadOptions::default()), &inconsistent).is_err());
}

#[test]
fn env_files_are_read_for_whom_the_command_wants() {
    let files = MapFiles::new([
        (
            "/p/compose.yaml",
            "services: {a: {image: i}, b: {image: i, env_file: no.env, profiles: [p]}, c: {image: i, env_file: e.env, profiles: [q]}}\n",
        ),
        ("/p/e.env", "A=1\n"),
    ]);
    let try_with = |env_files, profile: &str, service: &str| {
        let options = LoadOptions { env_files, ..LoadOptions::default() };
        let profiles = vec![profile.to_owned()];
        let request = LoadRequest { profiles, services: vec![service.to_owned()], ..request(options) };
        load(&request, &files).map(|loaded| loaded.project)
    };
    // An active service whose file is missing, though only another one is wanted.
    for (env_files, fails) in [
        (EnvFiles::OfNone, false),
        (EnvFiles::OfSelected, false),
        (EnvFiles::OfActive, true),
        (EnvFiles::OfActiveAndSelected, true),
    ] {
        assert_eq!(try_with(env_files, "p", "a").is_err(), fails, "{env_files:?}");
    }
    // One that is active because it is named.
    for (env_files, read) in [
        (EnvFiles::OfNone, false),
        (EnvFiles::OfSelected, true),
        (EnvFiles::OfActive, false),
        (EnvFiles::OfActiveAndSelected, true),
    ] {
        let service = try_with(env_files, "none", "c").unwrap().services.remove("c").unwrap();
        assert_eq!(service.environment.contains_key("A"), read, "{env_files:?}");
        assert_eq!(service.env_file.is_empty(), read, "{env_files:?}");
    }
}

#[test]
fn container_names_are_free_where_no_container_is_wanted() {
    let text = "services: {a: {image: i, container_name: xx}, b: {image: i, container_name: xx}}\n";
    let files = MapFiles::new([("/p/compose.yaml", text)]);
    for unique_container_names in [true, false] {
        let options = LoadOptions { unique_container_names, ..LoadOptions::default() };
        assert_eq!(load(&request(options), &files).is_err(), unique_container_names);
    }
}

#[test]
fn what_extends_an_empty_service_keeps_saying_so() {
    let files = MapFiles::new([
        ("/p/compose.yaml", "services: {a: {image: i, extends: {file: d/b.yaml, service: z}}}\n"),
        ("/p/d/b.yaml", "services: {z: }\n"),
    ]);
    let project = load(&request(LoadOptions::default()), &files).unwrap().project;
    let text = render(&project, Format::Yaml, true).unwrap();
    assert!(text.contains("    extends:\n      file: /p/d/b.yaml\n      service: z\n    image: i\n"), "{text}");
}

/// JSON of a project of these files, laid over one another, or the error.
fn outcome(texts: &[&str]) -> Result<serde_json::Value, String> {
    let names: Vec<String> = (0..texts.len()).map(|n| format!("/p/{n}.yaml")).collect();
    let files = MapFiles::new(names.iter().map(String::as_str).zip(texts.iter().copied()));
    let request = LoadRequest { files: names.clone(), ..request(LoadOptions::default()) };
    let loaded = load(&request, &files).map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&render(&loaded.project, Format::Json, true).unwrap()).unwrap())
}

#[test]
fn small_rules_hold() {
    for (texts, pointer, want) in [
        // A number and the same number in quotes are different ports.
        (
            &["services: {a: {image: i, ports: ['80:80']}}", "services: {a: {ports: [{target: 80, published: 80}]}}"][..],
            "/services/a/ports/1/published",
            "\"80\"",
        ),
        (
            &["services: {a: {image: i, secrets: [{source: s, mode: -1}]}}\nsecrets: {s: {file: f}}"],
            "/services/a/secrets/0/mode",
            "\"0-1\"",
        ),
        (
            &["services: {a: {provider: {type: p, options: {k: [], l: [1]}}}}"],
            "/services/a/provider/options",
            "{\"l\":[\"1\"]}",
        ),
        (&["include: [{}, null]\nservices: {a: {image: i}}"], "/services/a/image", "\"i\""),
        // Whole numbers from 2^63 on are numbers; where a size is wanted they count as none.
        (&["x-a: 18446744073709551615\nservices: {a: {image: i}}"], "/x-a", "18446744073709551615"),
        (&["services: {a: {image: i, pids_limit: 18446744073709551615}}"], "/services/a/pids_limit", "-1"),
        (
            &["services: {a: {image: i, volumes: [{type: tmpfs, target: /t, tmpfs: {size: 9223372036854775808}}]}}"],
            "/services/a/volumes/0/tmpfs",
            "{}",
        ),
        (&["services: {a: {image: i, mem_limit: 9999999p}}"], "/services/a/mem_limit", "\"-9223372036854775808\""),
        // What is narrower than 64 bits keeps the lower ones.
        (&["services: {a: {image: i, blkio_config: {weight: 65546}}}"], "/services/a/blkio_config/weight", "10"),
        (&["services: {a: {image: i, ports: [{target: 4294967376}]}}"], "/services/a/ports/0/target", "80"),
        (
            &["services: {a: {image: i, ulimits: {x-n: 3, b: 1}}}"],
            "/services/a/ulimits",
            "{\"#extensions\":{},\"b\":1}",
        ),
        (
            &["services: {a: {build: {additional_contexts: {x-a: docker-image://b, c: docker-image://d}}}}"],
            "/services/a/build/additional_contexts",
            "{\"#extensions\":\"map[x-a:docker-image://b]\",\"c\":\"docker-image://d\"}",
        ),
    ] {
        let want: serde_json::Value = serde_json::from_str(want).unwrap();
        assert_eq!(outcome(texts).unwrap().pointer(pointer), Some(&want), "{texts:?}");
    }
    for (texts, part) in [
        (
            &["services: {a: {image: i, ports: ['0']}}"][..],
            "0.yaml:1:34: services.a.ports[0]: is missing a target port",
        ),
        (
            &["services: {a: {image: i, logging: {driver: d}}}", "services: {a: {logging: null}}"],
            "1.yaml:1:25: services.a.logging: must be a mapping",
        ),
        (
            &["services: {a: {build: {additional_contexts: {k: 1}}}}"],
            "services.a.build.additional_contexts.k: must be a string",
        ),
        (&["services: {a: {image: i, pid: null}}"], "0.yaml:1:31: services.a.pid: "),
        (
            &["include: [{env_file: no}]\nservices: {a: {image: i}}"],
            "0.yaml:1:11: include[0]: cannot read /p/no: no such file or directory",
        ),
        (
            &["x-v: &v w\nservices: {a: {image: i, labels: {b: *v, b.c: *v}}}"],
            "0.yaml:2:47: the alias *v brings the same value to services.a.labels.b.c and to services.a.labels.b",
        ),
        (
            &["services: {a: {image: i, ports: [{target: -1}]}}"],
            "0.yaml:1:43: services.a.ports[0].target: must be 0 or more, not -1",
        ),
        (
            &["services: {a: {image: i, volumes: ['/b:/b', 'vv:/v']}}"],
            "0.yaml:1:45: services.a.volumes[1]: service 'a' refers to undefined volume 'vv'",
        ),
        (
            &["services: {a: {image: i, network_mode: 'service:zz'}}"],
            "0.yaml:1:26: services.a.network_mode: service 'a' depends on undefined service 'zz'",
        ),
        (
            &["services: {a: {image: i, volumes_from: [zz]}}"],
            "0.yaml:1:41: services.a.volumes_from[0]: service 'a' depends on undefined service 'zz'",
        ),
        (
            &["services: {a: {image: i, healthcheck: {test: a, interval: 30}}}"],
            "services.a.healthcheck.interval: must be a string, not a number (write it with a unit, for example 30s",
        ),
        (
            &["services: {a: {image: i, volumes: [{target: /b}]}}"],
            "services.a.volumes[0]: missing property 'type' (add type: bind, or volume, ",
        ),
        (
            &["services: {a: {image: i, depends_on: {b: {condition: service_started, foo: 1}}}}"],
            "additional properties 'foo' not allowed (known here: ",
        ),
        (&["services: {a: {image: i, env_file: [no]}}"], "services.a.env_file[0]: env file /p/no not found"),
        (&["services: {a: {build: {ulimits: {n: {soft: '1', hard: 2}}}}}"], "services.a.build.ulimits.n.soft: "),
        (&["x-a: .inf\nservices: {a: {image: i}}"], "0.yaml:1:6: +Inf has no JSON form"),
        (
            &["include: [oci://r/a]\nservices: {a: {image: i}}"],
            "0.yaml:1:11: include[0]: oci://r/a: r/a is not on this machine",
        ),
        (
            &["services: {a: {extends: {service: b, file: https://h/x.git}}}"],
            "services.a.extends.file: https://h/x.git: https://h/x.git is not on this machine",
        ),
    ] {
        let error = if texts.iter().any(|text| text.contains(".inf")) {
            let files = MapFiles::new([("/p/0.yaml", texts[0])]);
            let request = LoadRequest { files: vec!["0.yaml".into()], ..request(LoadOptions::default()) };
            render(&load(&request, &files).unwrap().project, Format::Json, true).unwrap_err().to_string()
        } else {
            outcome(texts).unwrap_err()
        };
        assert!(error.contains(part), "{texts:?}: {error}");
    }
}

#[test]
fn extensions_in_place_of_references_are_one_reference_where_nothing_is_checked() {
    for (written, printed) in [
        ("networks: {x-only: {}}", "    networks:\n      '#extensions': {}\n"),
        ("networks: {x-only: {aliases: [b]}, x-c: null}", "    networks:\n      '#extensions': {}\n"),
        ("networks: {x-only: null, net: null}", "    networks:\n      '#extensions': {}\n      net: null\n"),
        ("models: {x-m: {}}", "    models:\n      '#extensions': {}\n"),
    ] {
        let text = format!("services: {{web: {{image: i, {written}}}}}\nnetworks: {{net: null}}\n");
        let files = MapFiles::new([("/p/compose.yaml", text.as_str())]);
        let unchecked = LoadOptions { check_consistency: false, ..LoadOptions::default() };
        let project = load(&request(unchecked), &files).unwrap().project;
        let yaml = render(&project, Format::Yaml, true).unwrap();
        assert!(yaml.contains(printed), "{written}: {yaml}");
        // The check says which name it was, and where.
        let error = load(&request(LoadOptions::default()), &files).unwrap_err().to_string();
        assert!(error.contains("compose.yaml:1:"), "{error}");
        assert!(error.contains("' is taken for an extension, it names nothing here"), "{error}");
    }
}

#[test]
fn former_names_of_external_resources_are_warned_of() {
    let files = MapFiles::new([(
        "/p/compose.yaml",
        "services: {a: {image: i, networks: [n]}}\nnetworks: {n: {external: {name: x}}}\n",
    )]);
    let loaded = load(&request(LoadOptions::default()), &files).unwrap();
    let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["compose.yaml:2:27: networks.n: external.name is deprecated. Please set name and external: true"]
    );
}

#[test]
fn remote_files_can_be_switched_off() {
    for (file, name) in
        [("https://h/x.git", "COMPOSE_EXPERIMENTAL_GIT_REMOTE"), ("oci://h/x", "COMPOSE_EXPERIMENTAL_OCI_REMOTE")]
    {
        let files = MapFiles::new([("/p/compose.yaml", format!("include: ['{file}']\n").as_str())]);
        let mut request = request(LoadOptions::default());
        for (value, part) in [("0", "disabled by "), ("x", " must be true or false"), ("1", "is not on this machine")] {
            request.process_env.insert(name.into(), value.into());
            let error = load(&request, &files).unwrap_err().to_string();
            assert!(error.contains(part) && (value == "1" || error.contains(name)), "{error}");
        }
    }
}

#[test]
fn large_numbers_of_32_bits_have_an_exponent_in_yaml_only() {
    for (given, yaml, json) in [("1e6", "1e+06", "1000000"), ("1234567", "1.234567e+06", "1234567"), ("2.0", "2", "2")]
    {
        let files =
            MapFiles::new([("/p/compose.yaml", format!("services: {{a: {{image: i, cpus: {given}}}}}\n").as_str())]);
        let project = load(&request(LoadOptions::default()), &files).unwrap().project;
        let text = render(&project, Format::Yaml, true).unwrap();
        assert!(text.contains(&format!("    cpus: {yaml}\n")), "{text}");
        let text = render(&project, Format::Json, true).unwrap();
        assert!(text.contains(&format!("\"cpus\": {json},\n")), "{text}");
    }
}
