//! Certificates that turnout-proxy obtains, in the lines of `turnout status`.

use super::when::when;
use crate::{report::redact::escape_controls, traffic::control::CertificateStatus};

/// A certificate that lasts for less than this part of its life is told loudly: it should have been renewed long before.
const SOON: i64 = 5;

/// One certificate; `now` in seconds since 1970.
pub(super) fn line(status: &CertificateStatus, now: i64) -> String {
    let CertificateStatus { host, begins, ends, next, under_way, failures, said } = status;
    let at = |seconds: i64| when(seconds.saturating_mul(1_000));
    let counts = match (begins, ends) {
        (_, None) => "NONE YET, clients get no TLS".to_owned(),
        (_, Some(end)) if *end <= now => format!("ENDED at {}", at(*end)),
        (begin, Some(end)) => {
            let life = begin.map_or(0, |begin| end.saturating_sub(begin));
            let soon = *failures > 0 && end.saturating_sub(now).saturating_mul(SOON) < life;
            format!("{} {}", if soon { "ENDS SOON, at" } else { "counts until" }, at(*end))
        }
    };
    let goes_on = match next {
        _ if *under_way => "is being asked for".to_owned(),
        None => "IS NOT ASKED FOR".to_owned(),
        Some(next) if *failures > 0 => format!("{} FAILED, the next at {}", tries(*failures), at(*next)),
        Some(next) => format!("asked for at {}", at((*next).max(now))),
    };
    let why = said.as_ref().map(|said| format!(": {}", escape_controls(said))).unwrap_or_default();
    format!("certificate of {}: {counts}; {goes_on}{why}", escape_controls(host))
}

fn tries(count: u32) -> String {
    if count == 1 { "1 TRY".to_owned() } else { format!("{count} TRIES") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In September 2001, wherever this runs.
    const BASE: i64 = 1_000_000_000;

    #[test]
    fn what_is_wrong_stands_out() {
        let good = CertificateStatus {
            host: "a.example".to_owned(),
            begins: Some(BASE),
            ends: Some(BASE + 1_000),
            next: Some(BASE + 600),
            under_way: false,
            failures: 0,
            said: None,
        };
        let failed = CertificateStatus { failures: 2, said: Some("no\u{7}".to_owned()), ..good.clone() };
        let none = CertificateStatus { begins: None, ends: None, ..failed.clone() };
        for (status, now, expected) in [
            (good.clone(), 10, vec!["counts until 2001-09", "; asked for at 2001-09"]),
            (failed.clone(), 700, vec!["counts until", "2 TRIES FAILED, the next at"]),
            (failed.clone(), 801, vec!["ENDS SOON, at"]),
            (failed, 1_000, vec!["ENDED at"]),
            (CertificateStatus { failures: 1, ..none.clone() }, 0, vec!["NONE YET, clients get no TLS; 1 TRY FAILED"]),
            (
                CertificateStatus { under_way: true, ..none },
                0,
                vec!["NONE YET, clients get no TLS; is being asked for"],
            ),
            (CertificateStatus { next: None, ..good }, 10, vec!["IS NOT ASKED FOR"]),
        ] {
            let line = line(&status, BASE + now);
            assert!(expected.iter().all(|part| line.contains(part)), "{expected:?}: {line}");
            assert!(!line.contains('\u{7}'));
        }
    }
}
