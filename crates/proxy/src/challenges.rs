//! What proves to an authority that a host is ours, shown on listeners: the answer to a request for a token, and a
//! handshake that shows a certificate of a challenge. While nothing is to be proven each costs one look at a flag.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{AlpnError, Ssl, SslAcceptor, SslContext, SslMethod, select_next_proto},
    x509::X509,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};
use tokio_openssl::SslStream;
use turnout_acme::{Kind, Offer, Stage, alpn, challenge};

use crate::hello::{self, Hello};

/// Pause between two looks at a client's first words, while they are not all there.
const LOOK: Duration = Duration::from_millis(20);

/// All that are shown.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    http: Shown<(String, String)>,
    tls: Shown<SslContext>,
}

/// What is shown, by host; `any` spares whoever asks the lock while there is nothing.
#[derive(Debug)]
struct Shown<T> {
    any: AtomicBool,
    by_host: RwLock<BTreeMap<String, T>>,
}

impl<T> Default for Shown<T> {
    fn default() -> Shown<T> {
        Shown { any: AtomicBool::new(false), by_host: RwLock::default() }
    }
}

impl<T: Clone> Shown<T> {
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, T>)) {
        let mut by_host = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut by_host);
        self.any.store(!by_host.is_empty(), Relaxed);
    }

    fn find<F>(&self, of: impl Fn(&BTreeMap<String, T>) -> Option<F>) -> Option<F> {
        let any = self.any.load(Relaxed);
        any.then(|| of(&self.by_host.read().unwrap_or_else(PoisonError::into_inner))).flatten()
    }
}

impl Stage for Challenges {
    fn show(&self, offer: &Offer) -> Result<(), String> {
        let Offer { host, kind, token, proof } = offer;
        match kind {
            Kind::Http => self.http.change(|all| drop(all.insert(host.clone(), (token.clone(), proof.clone())))),
            Kind::TlsAlpn => {
                let context = context(host, proof).map_err(|error| format!("cannot show a challenge: {error}"))?;
                self.tls.change(|all| drop(all.insert(host.clone(), context)));
            }
        }
        Ok(())
    }

    fn withdraw(&self, host: &str) {
        self.http.change(|all| drop(all.remove(host)));
        self.tls.change(|all| drop(all.remove(host)));
    }
}

impl Challenges {
    /// What a request for this path is answered with. A token is long and made by chance: whoever names one may have its proof.
    pub(crate) fn answer(&self, path: &[u8]) -> Option<String> {
        let token =
            |path: &[u8]| std::str::from_utf8(path.strip_prefix(challenge::PATH.as_bytes())?).ok().map(str::to_owned);
        self.http.find(|all| {
            let wanted = token(path)?;
            all.values().find(|(token, _)| *token == wanted).map(|(_, proof)| proof.clone())
        })
    }

    /// Whether the client was an authority that looked for a challenge of a host, and has had its handshake. Nothing was read
    /// of any other client.
    pub(crate) async fn took(&self, stream: TcpStream) -> Option<TcpStream> {
        if !self.tls.any.load(Relaxed) {
            return Some(stream);
        }
        let mut said = vec![0; hello::BYTES];
        let host = loop {
            // What goes wrong here goes wrong again where it is read.
            let Ok(length @ 1..) = stream.peek(&mut said).await else { return Some(stream) };
            let said = said.get(..length).unwrap_or_default();
            match hello::read(said) {
                Hello::More if length < hello::BYTES => sleep(LOOK).await,
                Hello::Names(Some(host)) if hello::offers_only(said, alpn::NAME) => break host,
                Hello::More | Hello::Names(_) | Hello::Other => return Some(stream),
            }
        };
        let Some(context) = self.tls.find(|all| all.get(&host).cloned()) else { return Some(stream) };
        match shaken(&context, stream).await {
            Ok(()) => tracing::debug!("an authority has looked for the challenge of {host}"),
            Err(reason) => tracing::debug!("a look for the challenge of {host} did not come about: {reason}"),
        }
        None
    }
}

async fn shaken(context: &SslContext, stream: TcpStream) -> Result<(), String> {
    let ssl = Ssl::new(context).map_err(|error| error.to_string())?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
    Pin::new(&mut stream).accept().await.map_err(|error| error.to_string())?;
    // All that it wanted has been shown.
    let _ = stream.shutdown().await;
    Ok(())
}

fn context(host: &str, proof: &str) -> Result<SslContext, String> {
    let (certificate, key) = alpn::certificate(host, proof).map_err(|error| error.to_string())?;
    let build = || -> Result<SslContext, ErrorStack> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        let (certificate, key) = (X509::from_pem(&certificate)?, PKey::private_key_from_pem(&key)?);
        builder.set_certificate(&certificate)?;
        builder.set_private_key(&key)?;
        builder.set_alpn_select_callback(|_, offered| {
            select_next_proto(alpn::PROTOCOL, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        Ok(builder.build().into_context())
    };
    build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_there_while_it_is_shown() {
        let challenges = Challenges::default();
        let offer = |host: &str, token: &str| Offer {
            host: host.to_owned(),
            kind: Kind::Http,
            token: token.to_owned(),
            proof: format!("{token}.x"),
        };
        let path = |token: &str| format!("/.well-known/acme-challenge/{token}").into_bytes();
        assert_eq!(challenges.answer(&path("t")), None);
        challenges.show(&offer("a", "t")).unwrap();
        challenges.show(&offer("b", "u")).unwrap();
        assert_eq!(challenges.answer(&path("t")).as_deref(), Some("t.x"));
        for other in [path("T"), path(""), path("t/"), path("t?"), b"/t".to_vec(), b"*".to_vec()] {
            assert_eq!(challenges.answer(&other), None);
        }
        challenges.withdraw("a");
        assert_eq!((challenges.answer(&path("t")), challenges.answer(&path("u"))), (None, Some("u.x".to_owned())));
    }
}
