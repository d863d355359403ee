//! The engine's words for how long something has been so, made anew for a later moment. Pure.
//!
//! A list of the engine says `Up 3 minutes (healthy)`, which is true for a minute. Who keeps the list keeps the time with it.

/// Milliseconds in a second.
const SECOND: i64 = 1_000;

/// The engine's words of a container, for a moment so many milliseconds after it was started, or has ended. Words of another
/// form stay as they are.
pub(super) fn anew(words: &str, started: Option<i64>, ended: Option<i64>, now: i64) -> String {
    let since = |at: i64| human(now.saturating_sub(at).max(0) / SECOND);
    if let (Some(up), Some(started)) = (words.strip_prefix("Up "), started) {
        let rest = up.split_once(" (").map(|(_, rest)| format!(" ({rest}")).unwrap_or_default();
        return format!("Up {}{rest}", since(started));
    }
    // `Exited (1) 3 minutes ago`, `Restarting (1) 5 seconds ago`
    if let (Some((what, ago)), Some(ended)) = (words.split_once(") "), ended)
        && ago.ends_with(" ago")
    {
        return format!("{what}) {} ago", since(ended));
    }
    words.to_owned()
}

/// A length of time as the engine says it (`units.HumanDuration` of docker/go-units).
fn human(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1_800) / 3_600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3_600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_engine() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (3_600, "About an hour"),
            (5_399, "About an hour"),
            (5_400, "2 hours"),
            (47 * 3_600, "47 hours"),
            (48 * 3_600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(human(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn only_the_time_in_the_words_is_another() {
        let now = 1_000_000_000;
        let ago = |seconds: i64| Some(now - seconds * SECOND);
        for (words, started, ended, then) in [
            ("Up 3 seconds", ago(300), None, "Up 5 minutes"),
            ("Up 3 seconds (health: starting)", ago(61), None, "Up About a minute (health: starting)"),
            ("Up 2 hours (Paused)", ago(7_200), ago(9_000), "Up 2 hours (Paused)"),
            ("Exited (137) 2 seconds ago", ago(90), ago(10), "Exited (137) 10 seconds ago"),
            ("Restarting (1) Less than a second ago", ago(90), ago(3), "Restarting (1) 3 seconds ago"),
            ("Created", None, None, "Created"),
            ("Dead", ago(1), ago(1), "Dead"),
            ("Up 3 seconds", None, None, "Up 3 seconds"),
            // A clock that was set back is no reason for nonsense.
            ("Up 3 seconds", Some(now + 50_000), None, "Up Less than a second"),
        ] {
            assert_eq!(anew(words, started, ended, now), then, "{words}");
        }
    }
}
