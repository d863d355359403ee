//! A query of Prometheus (HTTP API, `/api/v1/query`), for one number.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::{http, quoted};

/// Most of an answer that is read: one number has some hundred bytes, and an error no more than a few lines.
const MOST: usize = 256 << 10;

/// A query that makes one number, and the Prometheus that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// Its address, without `/api`.
    pub url: String,
    /// The query, with everything filled in.
    pub query: String,
    /// How long the answer may take.
    pub patience: Duration,
}

/// What came of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// This; never NaN.
    Is(f64),
    /// None, for this reason.
    None(String),
}

impl Prometheus {
    /// Asks once, for at most `patience`. That there is no number is an answer, with the reason, and no error.
    pub async fn ask(&self) -> Number {
        match timeout(self.patience, self.asked()).await {
            Ok(Ok(number)) => number,
            Ok(Err(why)) => Number::None(format!("{} does not answer: {}", self.url, quoted(&why))),
            Err(_) => {
                Number::None(format!("{} has not answered within {:.1} s", self.url, self.patience.as_secs_f64()))
            }
        }
    }

    async fn asked(&self) -> Result<Number, String> {
        let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        let tls = url.scheme() == "https";
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err("it is no address of a host".to_owned());
        };
        let query = utf8_percent_encode(&self.query, NON_ALPHANUMERIC);
        let path = format!("{}/api/v1/query?query={query}", url.path().trim_end_matches('/'));
        let answer = http::get((&format!("{host}:{port}"), tls), &format!("{host}:{port}"), &path, MOST).await?;
        Ok(read(answer.status.as_u16(), &answer.body))
    }
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default, rename = "resultType")]
    kind: String,
    #[serde(default)]
    result: Value,
}

/// The number of an answer: of a scalar, or of a vector with one series.
fn read(status: u16, body: &[u8]) -> Number {
    let none = |why: String| Number::None(why);
    let Ok(reply) = serde_json::from_slice::<Reply>(body) else {
        return none(format!("answered with status {status}, and not as Prometheus does"));
    };
    if reply.status != "success" {
        return none(format!("Prometheus says: {}", quoted(&reply.error)));
    }
    let Data { kind, result } = reply.data;
    let sample = match (kind.as_str(), result) {
        ("scalar", sample) => sample,
        ("vector", Value::Array(series)) => match &series[..] {
            [] => return none("the query gave nothing".to_owned()),
            [one] => one.get("value").cloned().unwrap_or_default(),
            more => {
                return none(format!(
                    "the query gave {} series, and one number is wanted: sum() or avg() them",
                    more.len()
                ));
            }
        },
        (other, _) => return none(format!("the query gave a {}, and one number is wanted", quoted(other))),
    };
    let text = sample.get(1).and_then(Value::as_str);
    match text.and_then(|text| text.parse::<f64>().ok()) {
        Some(number) if number.is_nan() => none("the query gave NaN: something was divided by nothing".to_owned()),
        Some(number) => Number::Is(number),
        None => none("the query gave no number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answering;

    #[test]
    fn one_number_is_read_and_everything_else_is_none() {
        let vector =
            |inner: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{inner}]}}}}"#);
        let one = |value: &str| format!(r#"{{"metric":{{"a":"b"}},"value":[1700000000.1,"{value}"]}}"#);
        for (body, expected) in [
            (vector(&one("0.25")), Ok(0.25)),
            (vector(&one("1e-3")), Ok(0.001)),
            (vector(&one("+Inf")), Ok(f64::INFINITY)),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#.to_owned(), Ok(7.0)),
            (vector(&one("NaN")), Err("NaN")),
            (vector(""), Err("gave nothing")),
            (vector(&format!("{},{}", one("1"), one("2"))), Err("2 series")),
            (vector(&one("many")), Err("no number")),
            (vector("{}"), Err("no number")),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned(), Err("a matrix")),
            (r#"{"status":"error","errorType":"bad_data","error":"1:2: parse error"}"#.to_owned(), Err("parse error")),
            ("<html>".to_owned(), Err("status 200, and not as Prometheus does")),
            (r#"{"status":"success"}"#.to_owned(), Err("one number is wanted")),
        ] {
            match (read(200, body.as_bytes()), expected) {
                (Number::Is(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
                (Number::None(why), Err(expected)) => assert!(why.contains(expected), "{body}: {why}"),
                (found, expected) => panic!("{body}: {found:?}, and not {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn the_query_is_sent_whole_below_the_path_and_silence_is_no_number() {
        let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#;
        let (address, asked) = answering(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let query = "sum(rate(x{a=\"b c\"}[1m])) > 1 & 2".to_owned();
        let prometheus = Prometheus { url: format!("http://{address}/prom"), query, patience: Duration::from_secs(10) };
        assert_eq!(prometheus.ask().await, Number::Is(7.0));
        let asked = asked.join().unwrap();
        let expected = "GET /prom/api/v1/query?query=sum%28rate%28x%7Ba%3D%22b%20c%22%7D%5B1m%5D%29%29%20%3E%201%20%26%202 HTTP/1.1\r\n";
        assert!(asked.starts_with(expected), "{asked}");
        // Too much is none, either; and so is nobody.
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", MOST + 1, " ".repeat(MOST + 1));
        let (address, _asked) = answering(&long);
        for (url, said) in [
            (format!("http://{address}"), "does not answer"),
            ("http://127.0.0.1:1".to_owned(), "does not answer"),
            ("http://".to_owned(), "does not answer"),
        ] {
            let found = Prometheus { url, ..prometheus.clone() }.ask().await;
            assert!(matches!(&found, Number::None(why) if why.contains(said)), "{found:?}");
        }
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let found = Prometheus { url, patience: Duration::from_millis(50), ..prometheus }.ask().await;
        assert!(matches!(&found, Number::None(why) if why.contains("within 0.1 s")), "{found:?}");
    }
}
