//! The outcome of a deployment as it is told later: what was said at the verdict, and what fell over since.

use crate::{deploy::EVERYTHING_RUNS, store::Fall};

/// What was said at the verdict, and what fell over since.
pub(super) fn since_then(said: String, falls: &[Fall]) -> String {
    if falls.is_empty() {
        return said;
    }
    // It was true then.
    let then = said.replace(EVERYTHING_RUNS, "everything ran as configured");
    let parts = Some(then).filter(|then| !then.is_empty()).into_iter().chain(falls.iter().map(ToString::to_string));
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_to_run_that_fell() {
        let said = || format!("shop at abc1234: nothing to do, {EVERYTHING_RUNS}");
        assert_eq!(since_then(said(), &[]), "shop at abc1234: nothing to do, everything runs as configured");
        let fall = Fall {
            container: "shop-web-1".to_owned(),
            after: 23_400,
            said: "exited (1) and was restarted".to_owned(),
            times: 1,
            mended: None,
            seen: 0,
        };
        assert_eq!(
            since_then(said(), std::slice::from_ref(&fall)),
            "shop at abc1234: nothing to do, everything ran as configured; shop-web-1 exited (1) and was restarted 23 s \
             after the verdict"
        );
        let again = Fall { times: 3, mended: Some(50_000), ..fall };
        assert_eq!(
            since_then(String::new(), &[again]),
            "shop-web-1 exited (1) and was restarted 23 s after the verdict, 3 times in all, well again after 50 s"
        );
    }
}
