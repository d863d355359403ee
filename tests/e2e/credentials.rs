//! A private HTTPS-like remote whose credentials come from the git configuration of the daemon's user.

use crate::{common, git_support};
use common::{daemon::Daemon, unique};
use git_support::{HttpGit, World};

const TOKEN: &str = "ghs_0123456789abcdefTESTTOKEN";

#[test]
fn a_credential_helper_is_asked_only_where_repos_yaml_says_so() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let helper = format!("!f() {{ echo username=x-access-token; echo password={TOKEN}; }}; f");
    std::fs::write(home.path().join(".gitconfig"), format!("[credential]\n\thelper = \"{helper}\"\n")).unwrap();
    let server = HttpGit::start(world.path(), Some(&format!("x-access-token:{TOKEN}")));
    for (allowed, said) in [(false, "refused access"), (true, "no Compose file")] {
        let (name, path) = (unique("cred"), home.path().join(unique("tree")));
        let repos = format!(
            "{name}:\n  path: {}\n  remote: http://127.0.0.1:{}/origin.git\n  branch: main\n  credential_helper: {allowed}\n",
            path.display(),
            server.port
        );
        let daemon = Daemon::start_with(&repos, &[], &[("HOME", home.path().to_str().unwrap())]);
        let output = daemon.turnout(&["deploy", &name]);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // The tree has no Compose file: to get as far as missing it, it must have been cloned.
        assert!(text.contains(said), "{allowed}: {text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}
