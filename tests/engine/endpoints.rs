//! Engines behind TLS and behind SSH, through the whole program: every kind of connection, and every way they fail.

use std::{path::Path, process::Command};

use crate::{bad_input_support, common, compose_cli_support, endpoint_support};
use bad_input_support::QUICK;
use common::daemon::Daemon;
use compose_cli_support::{Ran, Site};
use endpoint_support::{Authority, Context, SshServer, TlsEngine, plain_engine};

/// A site whose commands go to another engine.
struct Far {
    site: Site,
    variables: Vec<(String, String)>,
}

impl Far {
    fn new(variables: &[(&str, &str)]) -> Far {
        // The build has a secret: only BuildKit can do it, over a connection that is turned around.
        let site = Site::new(
            "services:
  web:
    build: {context: ., secrets: [word], network: none}
    QUICK
    mac_address: 02:42:ac:11:00:aa
    command: [sh, -c, 'echo hello from web; sleep 1000']
secrets: {word: {file: ./word}}
",
        );
        site.write(
            "Dockerfile",
            "FROM IMAGE\nRUN --mount=type=secret,id=word cat /run/secrets/word >/seen\nCOPY page /page\n",
        );
        site.write("word", "swordfish");
        site.write("page", "a page");
        Far { site, variables: own(variables) }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.site.ours_with(args);
        bare(&mut command);
        command.envs(self.variables.iter().map(|(k, v)| (k, v)));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Everything that needs a connection of its own kind.
    fn whole_road(&self) {
        self.run(&["up", "-d", "--build"]).ok();
        let read = self.run(&["exec", "-T", "web", "cat", "/seen", "/page"]).ok();
        assert_eq!(read.out, "swordfisha page");
        // Our end of the stream is closed, theirs goes on: the count comes after the end of the input.
        let counted =
            Ran::fed(self.command(&["exec", "-T", "web", "sh", "-c", "cat | cat -"]), &"x".repeat(200_000)).ok();
        assert_eq!(counted.out.len(), 200_000);
        let once = Ran::fed(self.command(&["run", "--rm", "-T", "web", "sh", "-c", "cat; exit 3"]), "in\n");
        assert_eq!((once.code, once.out.as_str()), (3, "in\n"), "{once:?}");
        assert!(self.run(&["logs", "--no-log-prefix", "web"]).ok().out.contains("hello from web"));
        assert!(self.run(&["ps"]).ok().out.contains("web-1"));
        let again = self.run(&["up", "-d"]).ok();
        assert!(!again.err.contains("ecreate"), "{again:?}");
        self.run(&["down"]).ok();
        assert!(self.site.ids().is_empty());
    }

    /// The error of a command that cannot reach the engine.
    fn refused(&self) -> String {
        let ran = self.run(&["ps"]);
        assert_eq!((ran.code != 0, ran.out.as_str()), (true, ""), "{ran:?}");
        ran.err
    }
}

fn own(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Takes away what would name another engine.
fn bare(command: &mut Command) {
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"] {
        command.env_remove(name);
    }
}

#[track_caller]
fn says(error: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(error.contains(text), "{text:?} is not said: {error}");
    }
}

#[test]
fn tls_with_certificates_of_both_sides() {
    let authority = Authority::new("good");
    let engine = TlsEngine::start(&authority, authority.server("127.0.0.1"));
    let certs = authority.client("client");
    let far =
        Far::new(&[("DOCKER_HOST", &engine.url()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path(&certs))]);
    far.whole_road();
    assert!(engine.connections() > 0, "it went through the relay");
}

#[test]
fn tls_refusals_say_what_to_do() {
    // Made once, not for every site.
    let _image = common::engine::ImageHold::new();
    let (authority, stranger) = (Authority::new("good"), Authority::new("other"));
    let engine = TlsEngine::start(&authority, authority.server("127.0.0.1"));
    let url = engine.url();
    let refused = |url: &str, more: &[(&str, &str)], certs: &Path| {
        let mut all = vec![("DOCKER_HOST", url), ("DOCKER_CERT_PATH", path(certs))];
        all.extend(more);
        let far = Far { site: Site::new("services: {web: {image: 'IMAGE'}}\n"), variables: own(&all) };
        let error = far.refused();
        assert!(error.contains(url) && !error.contains("ssl/statem"), "{error}");
        error
    };
    let verify = [("DOCKER_TLS_VERIFY", "1")];
    // Their certificate.
    let other = stranger.client("client");
    says(&refused(&url, &verify, &other), &["certificate is refused", "ca.pem"]);
    let late = TlsEngine::start(&authority, authority.expired_server("127.0.0.1"));
    says(&refused(&late.url(), &verify, &authority.client("client")), &["expired", "renew the daemon's certificate"]);
    let misnamed = TlsEngine::start(&authority, authority.server("10.9.8.7"));
    says(&refused(&misnamed.url(), &verify, &authority.client("client")), &["mismatch", "another name"]);
    // Ours.
    let nobody = authority.no_client();
    says(&refused(&url, &verify, &nobody), &["cert.pem and key.pem beside ca.pem"]);
    says(&refused(&url, &verify, &authority.expired_client()), &["expired", "renew it"]);
    let foreign = authority.client("client");
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.join(file), foreign.join(file)).unwrap();
    }
    says(&refused(&url, &verify, &foreign), &["refuses our cert.pem"]);
    // The files.
    let broken = authority.client("client");
    std::fs::copy(other.join("key.pem"), broken.join("key.pem")).unwrap();
    says(&refused(&url, &verify, &broken), &["key.pem does not belong to", "cert.pem"]);
    std::fs::write(broken.join("key.pem"), "hunter2").unwrap();
    let error = refused(&url, &verify, &broken);
    says(&error, &["key.pem: this is no private key"]);
    assert!(!error.contains("hunter2"), "{error}");
    std::fs::remove_file(broken.join("ca.pem")).unwrap();
    says(&refused(&url, &verify, &broken), &["ca.pem", "No such file", "DOCKER_CERT_PATH"]);
    // One side speaks TLS, the other does not.
    says(&refused(&url, &[], &nobody), &["DOCKER_TLS_VERIFY=1"]);
    let plain = plain_engine();
    says(&refused(&plain, &verify, &authority.client("client")), &["does not speak TLS"]);
    // Without a check the wrong authority does not matter; the daemon's own check does.
    let lax = authority.client("client");
    std::fs::copy(other.join("ca.pem"), lax.join("ca.pem")).unwrap();
    let far = Far {
        site: Site::new("services: {web: {image: 'IMAGE'}}\n"),
        variables: own(&[("DOCKER_HOST", &url), ("DOCKER_CERT_PATH", path(&lax)), ("DOCKER_TLS", "1")]),
    };
    far.run(&["ps"]).ok();
}

#[test]
fn a_context_brings_its_address_and_certificates() {
    // Made once, not for every site.
    let _image = common::engine::ImageHold::new();
    let authority = Authority::new("good");
    let engine = TlsEngine::start(&authority, authority.server("127.0.0.1"));
    let certs = authority.client("client");
    // Made by the real program, so that its files are what is read.
    let Some(context) = Context::create(&[
        ("sure", format!("host={},ca={1}/ca.pem,cert={1}/cert.pem,key={1}/key.pem", engine.url(), path(&certs))),
        ("lax", format!("host={},cert={1}/cert.pem,key={1}/key.pem,skip-tls-verify=true", engine.url(), path(&certs))),
        ("bare", format!("host={}", engine.url())),
    ]) else {
        return;
    };
    let site = || Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    let directory = context.directory();
    let in_context = |more: &[(&str, &str)]| {
        let mut all = vec![("DOCKER_CONFIG", path(directory))];
        all.extend(more);
        Far { site: site(), variables: own(&all) }
    };
    in_context(&[("DOCKER_CONTEXT", "sure")]).run(&["up", "-d"]).ok();
    in_context(&[("DOCKER_CONTEXT", "lax")]).run(&["ps"]).ok();
    says(&in_context(&[("DOCKER_CONTEXT", "bare")]).refused(), &["DOCKER_TLS_VERIFY"]);
    says(&in_context(&[("DOCKER_CONTEXT", "gone")]).refused(), &["gone", "docker context ls"]);
    // The settings' own choice, for the daemon's commands as well.
    context.choose("sure");
    in_context(&[]).run(&["ps"]).ok();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("repos.yaml"), "{}\n").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_turnout"));
    check.arg("check").current_dir(home.path()).env("WEBHOOK_SECRET", "0123456789abcdef");
    bare(check.env("DOCKER_CONFIG", directory));
    let checked = Ran::of(check.output().unwrap());
    assert!(checked.out.contains(&format!("Docker engine at {}", engine.url())), "{checked:?}");
    // An address in the environment rules the context out.
    let far = in_context(&[("DOCKER_HOST", "unix:///nowhere/docker.sock"), ("DOCKER_CONTEXT", "sure")]);
    says(&far.refused(), &["unix:///nowhere/docker.sock"]);
}

#[test]
fn ssh_reaches_an_engine_by_dial_stdio() {
    let Some(ssh) = SshServer::start() else { return };
    let variables = [("DOCKER_HOST", ssh.url()), ("PATH", ssh.path())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Far::new(&variables).whole_road();
    let called = ssh.calls();
    assert!(called.contains("BatchMode=yes") && called.contains("-- 127.0.0.1 docker system dial-stdio"), "{called}");
    // The daemon too: its deployments, its health.
    let site = bad_input_support::Site::web();
    let daemon = Daemon::start_with(&site.short(), QUICK, &variables);
    site.deploy(&daemon);
    site.wait_for_page("version 1");
}

#[test]
fn ssh_refusals_say_what_to_do() {
    // Made once, not for every site.
    let _image = common::engine::ImageHold::new();
    let Some(ssh) = SshServer::start() else { return };
    let site = || Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    let refused = |url: &str, path: &str| {
        let far = Far { site: site(), variables: own(&[("DOCKER_HOST", url), ("PATH", path)]) };
        let error = far.refused();
        assert!(error.contains(url), "{error}");
        error
    };
    // Another socket on that machine, where nothing listens.
    let nowhere = format!("{}/nowhere/docker.sock", ssh.url());
    says(&refused(&nowhere, &ssh.path()), &["/nowhere/docker.sock", "on that machine no engine answers"]);
    says(&refused(&ssh.url(), &ssh.path_with("stranger")), &["Permission denied (", "BatchMode=yes"]);
    says(&refused(&ssh.url(), &ssh.path_with("unknown-host")), &["Host key verification failed", "known_hosts"]);
    let closed = ssh.url().replace(&format!(":{}", ssh.port()), ":1");
    says(&refused(&closed, &ssh.path()), &["Connection refused", "nothing listens there for SSH"]);
    says(&refused(&ssh.url(), "/nowhere"), &["openssh-client"]);
    let bare = SshServer::without_docker().unwrap();
    says(&refused(&bare.url(), &bare.path()), &["docker", "must be in the PATH"]);
    let error = Far { site: site(), variables: own(&[("DOCKER_HOST", "ssh://me:hunter2@box")]) }.refused();
    says(&error, &["ssh://me:[redacted]@box", "use a key"]);
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn many_requests_at_once_do_not_overrun_an_ssh_server() {
    let Some(ssh) = SshServer::start() else { return };
    let services: String = (0..12).map(|n| format!("  s{n}: {{image: 'IMAGE', QUICK}}\n")).collect();
    let site = Site::new(&format!("services:\n{services}"));
    let far = Far { site, variables: own(&[("DOCKER_HOST", &ssh.url()), ("PATH", &ssh.path())]) };
    far.run(&["up", "-d"]).ok();
    assert_eq!(far.site.ids().len(), 12);
    far.run(&["down"]).ok();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
