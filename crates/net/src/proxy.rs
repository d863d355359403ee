//! Which HTTP proxy of the surroundings applies to a host. Same sources and order as git: `http.proxy`, then the
//! environment; `no_proxy` makes exceptions.

use url::Url;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use turnout_report::redact::foreign;

use crate::NetError;

/// The proxy for a host; none: go straight.
///
/// # Errors
/// When the proxy that is set is none we can speak to.
pub fn applies_to(
    host: &str,
    tls: bool,
    configured: Option<String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Url>, NetError> {
    let names: &[&str] = if tls {
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        // HTTP_PROXY in capitals can be set by a request header in CGI programs; curl and git ignore it, so do we.
        &["http_proxy", "all_proxy", "ALL_PROXY"]
    };
    let exempt = env("no_proxy").or_else(|| env("NO_PROXY")).is_some_and(|list| is_exempt(host, &list));
    if exempt {
        return Ok(None);
    }
    let Some(text) = configured.or_else(|| names.iter().find_map(|name| env(name))).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let with_scheme = if text.contains("://") { text } else { format!("http://{text}") };
    match Url::parse(&with_scheme) {
        Ok(url) if url.scheme() == "http" && url.host_str().is_some() => Ok(Some(url)),
        _ => Err(NetError::BadProxy {
            address: foreign(&with_scheme),
            message: "only proxies at http:// addresses can be used".to_owned(),
        }),
    }
}

fn is_exempt(host: &str, list: &str) -> bool {
    let host = host.to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches('.').to_ascii_lowercase();
        entry == "*" || host == entry || host.ends_with(&format!(".{entry}"))
    })
}

/// The header with a proxy's user and password, if its address has them.
pub fn login(proxy: &url::Url) -> String {
    if proxy.username().is_empty() {
        return String::new();
    }
    let plain = format!("{}:{}", proxy.username(), proxy.password().unwrap_or_default());
    format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(plain))
}

/// The host of a URL without the brackets of IPv6.
pub fn bare_host(url: &url::Url) -> String {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surroundings_choose() {
        let none: &[(&str, &str)] = &[];
        let table = [
            (none, None, true, None),
            (&[("https_proxy", "proxy:3128")][..], None, true, Some("http://proxy:3128/")),
            (&[("https_proxy", "proxy:3128")][..], None, false, None),
            (&[("HTTP_PROXY", "proxy:3128")][..], None, false, None),
            (&[("https_proxy", "proxy:3128")][..], Some(""), true, None),
            (&[("https_proxy", "a:1")][..], Some("http://u:p@b:2"), true, Some("http://u:p@b:2/")),
            (&[("https_proxy", "a:1"), ("no_proxy", "x, .example.org")][..], None, true, None),
            (&[("https_proxy", "a:1"), ("NO_PROXY", "*")][..], None, true, None),
            (&[("https_proxy", "a:1"), ("no_proxy", "ample.org")][..], None, true, Some("http://a:1/")),
        ];
        for (env, configured, tls, expected) in table {
            let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let got = applies_to("git.example.org", tls, configured.map(str::to_owned), &lookup).unwrap();
            assert_eq!(got.map(|url| url.to_string()), expected.map(str::to_owned), "{env:?} {configured:?}");
        }
        let socks = applies_to("h", true, Some("socks5://u:secretpw@x".into()), &|_| None).unwrap_err().to_string();
        assert!(!socks.contains("secretpw"), "{socks}");
    }
}
