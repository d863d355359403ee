//! The outcome of a deployment as it is told later: what was said at the verdict, what fell over since, and that it was
//! taken back.

use super::when::when;
use crate::{
    deploy::EVERYTHING_RUNS,
    store::{Deployment, Fall, GivenUp},
};

/// What became of a deployment after its verdict, in order; empty where nothing did.
pub(super) fn aftermath(d: &Deployment) -> Vec<String> {
    let back = d.taken_back.iter().map(|GivenUp { at, why }| format!("TAKEN BACK {}: {why}", when(*at)));
    back.chain(d.falls.iter().map(Fall::to_string)).collect()
}

/// What was said at the verdict, and what is known since.
pub(super) fn since_then(said: String, d: &Deployment) -> String {
    let later = aftermath(d);
    if later.is_empty() {
        return said;
    }
    // It was true then.
    let then = said.replace(EVERYTHING_RUNS, "everything ran as configured");
    Some(then).filter(|then| !then.is_empty()).into_iter().chain(later).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::State;

    #[test]
    fn nothing_is_said_to_run_that_fell_or_was_taken_back() {
        let said = || format!("shop at abc1234: nothing to do, {EVERYTHING_RUNS}");
        let one = || Deployment::bare(1, "shop", State::Succeeded);
        assert_eq!(since_then(said(), &one()), "shop at abc1234: nothing to do, everything runs as configured");
        let fall = Fall {
            container: "shop-web-1".to_owned(),
            after: 23_400,
            said: "exited (1) and was restarted".to_owned(),
            times: 1,
            mended: None,
            seen: 0,
        };
        assert_eq!(
            since_then(said(), &Deployment { falls: vec![fall.clone()], ..one() }),
            "shop at abc1234: nothing to do, everything ran as configured; shop-web-1 exited (1) and was restarted 23 s \
             after the verdict"
        );
        let again = Fall { times: 3, mended: Some(50_000), ..fall };
        assert_eq!(
            since_then(String::new(), &Deployment { falls: vec![again], ..one() }),
            "shop-web-1 exited (1) and was restarted 23 s after the verdict, 3 times in all, well again after 50 s"
        );
        let back = GivenUp { at: 23_000, why: "rolled back by ann".to_owned() };
        let then = when(back.at);
        assert_eq!(
            since_then(said(), &Deployment { taken_back: Some(back), ..one() }),
            format!(
                "shop at abc1234: nothing to do, everything ran as configured; TAKEN BACK {then}: rolled back by ann"
            )
        );
    }
}
