//! What a colour was made with beyond its routes: how it is reached while it waits, which files of it are asked for while its
//! successor bakes, and how long it has its predecessor kept. Kept with [`Made`](super::made::Made), as JSON. Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::{
    rollout::Millis,
    switch::{
        self, Derived,
        said::{PinBy, PreviewSaid},
    },
    traffic::{
        beyond::By,
        bounds,
        spot::{Host, Prefix},
    },
};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Paths whose 404 is tried at the colour before, while this one bakes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// How long the colour before is kept, once this one has baked, in milliseconds. `None`: until it is made anew.
    #[serde(default)]
    pub keep: Option<Millis>,
    /// How people reach it while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<MadePreview>,
    /// How many of a hundred requests are copied to it while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<u64>,
    /// Requests that go to it while it waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<MadePin>,
}

/// How people reach a colour that waits.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePreview {
    /// By a host name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// By listeners of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<SocketAddr>,
    /// By a cookie.
    #[serde(default)]
    pub cookie: bool,
    /// Only what leads to this port of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<(String, u16)>,
    /// The value of the cookie, made when the wait began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Whoever reads a log is told that there is a secret.
impl fmt::Debug for MadePreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, listen, cookie, to, secret } = self;
        let secret = secret.as_ref().map(|_| "…");
        f.debug_struct("MadePreview")
            .field("host", host)
            .field("listen", listen)
            .field("cookie", cookie)
            .field("to", to)
            .field("secret", &secret)
            .finish()
    }
}

/// What a request has that goes to a colour that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePin {
    /// By a header; else by a cookie.
    pub header: bool,
    /// The name of the header or cookie.
    pub name: String,
    /// The value that it must have, letter by letter.
    pub value: String,
}

impl MadePin {
    /// In the words of turnout-proxy.
    pub fn by(&self) -> By {
        match self.header {
            true => By::Header(self.name.clone()),
            false => By::Cookie(self.name.clone()),
        }
    }
}

impl Reach {
    /// From what was derived.
    pub fn of(derived: &Derived) -> Reach {
        let switch::derived::Beyond { preview, mirror, pins } = &derived.beyond;
        let pins = pins.iter().flat_map(|pins| &pins.value).map(|pin| {
            let (header, name) = match &pin.by {
                PinBy::Header(name) => (true, name),
                PinBy::Cookie(name) => (false, name),
            };
            MadePin { header, name: name.clone(), value: pin.value.clone() }
        });
        Reach {
            fallback: derived.fallback.value.clone(),
            keep: Some(i64::try_from(derived.keep.value.as_std().as_millis()).unwrap_or(Millis::MAX)),
            preview: preview.as_ref().map(|preview| MadePreview::of(&preview.value)),
            mirror: mirror.as_ref().map(|percent| u64::from(percent.value)),
            pins: pins.collect(),
        }
    }

    /// Whether a colour with it is in the routes while it waits.
    pub fn is_reached(&self) -> bool {
        self.preview.is_some() || self.mirror.is_some() || !self.pins.is_empty()
    }
}

impl MadePreview {
    fn of(said: &PreviewSaid) -> MadePreview {
        let PreviewSaid { host, listen, cookie, to } = said;
        let listen = listen.iter().flat_map(|listen| {
            let everywhere = || vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let addresses = listen.address.map_or_else(everywhere, |address| vec![address]);
            addresses.into_iter().map(|address| SocketAddr::new(address, listen.port)).collect::<Vec<_>>()
        });
        MadePreview { host: host.clone(), listen: listen.collect(), cookie: *cookie, to: to.clone(), secret: None }
    }
}

/// What of it cannot be, each with what to write.
pub fn not_kept(derived: &Derived) -> Vec<String> {
    let mut refused = switch::not_kept(derived);
    refused.extend(switch::analysis_not_kept(derived));
    refused.extend(switch::measures_not_kept(derived));
    let paths = &derived.fallback.value;
    refused
        .extend(paths.iter().filter_map(|path| Prefix::read(path).err().map(|why| format!("fallback {path}: {why}"))));
    if paths.len() > bounds::PATHS {
        refused.push(format!("fallback has {} paths; at most {} may be", paths.len(), bounds::PATHS));
    }
    let host = derived.beyond.preview.as_ref().and_then(|preview| preview.value.host.as_ref());
    refused.extend(host.and_then(|host| Host::read(host).err().map(|why| format!("preview {host}: {why}"))));
    refused
}
