//! Proxy variables (`HTTP_PROXY` and the like) that the settings of Docker's client give to every container and build.

use std::{collections::HashMap, path::Path};

use serde_json::Value;

/// Keys of the `proxies` section and the variables they become, in capitals and small letters.
const VARIABLES: [(&str, &str); 5] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

/// Reads the variables from `config.json` in the CLI's directory, for [`super::Engine::with_proxy_variables`]. `host` is the
/// daemon's address, which may have a section of its own. A missing or unreadable file gives none.
pub async fn read_proxy_variables(directory: &Path, host: &str) -> HashMap<String, String> {
    let text = tokio::fs::read(directory.join("config.json")).await.unwrap_or_default();
    let config = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    variables(&config, host)
}

fn variables(config: &Value, host: &str) -> HashMap<String, String> {
    let all = config.get("proxies");
    let section = all.and_then(|p| p.get(host)).or_else(|| all.and_then(|p| p.get("default")));
    let mut variables = HashMap::new();
    for (key, variable) in VARIABLES {
        let Some(value) = section.and_then(|s| s.get(key)).and_then(Value::as_str).filter(|v| !v.is_empty()) else {
            continue;
        };
        variables.insert(variable.to_owned(), value.to_owned());
        variables.insert(variable.to_lowercase(), value.to_owned());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_the_host_wins() {
        let config = serde_json::json!({ "proxies": {
            "default": { "httpProxy": "http://a", "noProxy": "" },
            "tcp://h:1": { "httpsProxy": "http://b" },
        } });
        let keys = |host: &str| {
            let mut all: Vec<_> = variables(&config, host).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
            all.sort();
            all
        };
        assert_eq!(keys("unix:///var/run/docker.sock"), ["HTTP_PROXY=http://a", "http_proxy=http://a"]);
        assert_eq!(keys("tcp://h:1"), ["HTTPS_PROXY=http://b", "https_proxy=http://b"]);
        assert!(variables(&Value::Null, "x").is_empty());
    }
}
