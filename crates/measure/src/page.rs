//! A page of the colour's own. Whatever keeps it from answering is its own fault, and bad.

use std::{net::SocketAddr, time::Duration};

use tokio::time::timeout;

use crate::{Measured, http, quoted};

/// Most of a page that is read: what it says is quoted where it is bad.
const MOST: usize = 64 << 10;

/// A page of the colour's own that is asked of each replica: 2xx and 3xx of all are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where the colour's containers are reached, each of them.
    pub targets: Vec<SocketAddr>,
    /// The host that is asked for; nothing: the address.
    pub host: Option<String>,
    /// The path, with its query; it begins with `/`.
    pub path: String,
    /// How long each answer may take.
    pub patience: Duration,
}

impl Page {
    /// Asks each of them, one after the other.
    pub async fn ask(&self) -> Measured {
        let mut said = String::from("nobody is there to be asked");
        for target in &self.targets {
            match self.ask_one(target).await {
                Ok(status) => said = format!("{} answers {status}", self.path),
                Err(why) => return Measured::Bad(format!("{} of {target} {why}", self.path)),
            }
        }
        match self.targets.is_empty() {
            true => Measured::Unknown(said),
            false => Measured::Good(said),
        }
    }

    async fn ask_one(&self, target: &SocketAddr) -> Result<u16, String> {
        let address = target.to_string();
        let host = self.host.clone().unwrap_or_else(|| address.clone());
        let asked = timeout(self.patience, http::get((&address, false), &host, &self.path, MOST)).await;
        match asked {
            Err(_) => Err(format!("has not answered within {:.1} s", self.patience.as_secs_f64())),
            Ok(Err(why)) => Err(format!("does not answer: {}", quoted(&why))),
            Ok(Ok(answer)) if answer.status.is_success() || answer.status.is_redirection() => {
                Ok(answer.status.as_u16())
            }
            Ok(Ok(answer)) => {
                let text = quoted(&String::from_utf8_lossy(&answer.body));
                let text = if text.is_empty() { text } else { format!(": {text}") };
                Err(format!("answers {}{text}", answer.status.as_u16()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answering;

    #[tokio::test]
    async fn what_is_no_good_answer_is_bad_and_says_why() {
        let page = |target, patience| Page {
            targets: vec![target],
            host: Some("shop.test".to_owned()),
            path: "/deep".to_owned(),
            patience: Duration::from_millis(patience),
        };
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "good /deep answers 200"),
            ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "good /deep answers 302"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
            ("HTTP/1.1 503 Away\r\nContent-Length: 13\r\n\r\nqueue is\nfull", "answers 503: queue is full"),
            ("nonsense\r\n\r\n", "does not answer: "),
            ("", "does not answer: "),
        ] {
            let (target, asked) = answering(answer);
            let found = page(target, 5_000).ask().await;
            let found = format!("{} {}", found.word(), found.said());
            assert!(found.contains(expected), "{answer:?}: {found}");
            assert!(asked.join().unwrap().starts_with("GET /deep HTTP/1.1\r\nhost: shop.test\r\n"));
        }
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = page(silent.local_addr().unwrap(), 50).ask().await;
        assert!(matches!(&found, Measured::Bad(why) if why.contains("has not answered within 0.1 s")), "{found:?}");
        let nobody = Page { targets: Vec::new(), ..page("127.0.0.1:1".parse().unwrap(), 50) };
        assert!(matches!(nobody.ask().await, Measured::Unknown(_)));
    }
}
