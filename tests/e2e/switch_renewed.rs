//! turnout is upgraded without a service manager: the proxy that the daemon has started gives way to the new program by itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{QUICK, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 4;

#[test]
fn a_proxy_whose_program_was_replaced_hands_over_to_the_new_one_and_no_request_fails() {
    let built = Path::new(env!("CARGO_BIN_EXE_turnout"));
    let installed = tempfile::tempdir().unwrap();
    for name in ["turnout", "turnout-proxy"] {
        let (from, to) = (built.with_file_name(name), installed.path().join(name));
        // They are large; across file systems there is no other way.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).unwrap();
    }
    let shop = Switched::new("one");
    let daemon = Daemon::start_from(&installed.path().join("turnout"), &shop.entry("auto"), QUICK, &[]);
    let proxy = shop.proxy_of(&daemon);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let former = proxy.pid().expect("the proxy runs");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    // As a package does it: another file under the same name.
    let program = installed.path().join("turnout-proxy");
    let new = installed.path().join("new");
    fs::copy(built.with_file_name("turnout-proxy"), &new).unwrap();
    fs::rename(&new, &program).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    daemon.says("turnout-proxy runs the program that lies beside turnout from now on; no request waited for it");
    load.wait_for("two", 50);
    wait_until("the end of the former proxy", PATIENCE, || match running(former) {
        None => Ok(()),
        Some(program) => Err(program),
    });
    assert_eq!(running(proxy.pid().expect("the new proxy runs")), Some(program));
    assert_eq!(load.end().bad, Vec::<String>::new());
}

/// The program of a process, if it runs; of one that was replaced the kernel says so behind its name.
fn running(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
