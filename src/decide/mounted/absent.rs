//! The source of a mount that is not there: gone since a container was made, or not there yet.
//!
//! The container goes on with what it holds, so nothing seems wrong until the next one is made: the engine puts an empty
//! folder where a file was, or refuses.

use super::Reads;

/// What the engine does about a source that is not there, when it makes or starts a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// It makes an empty folder.
    MakesFolder,
    /// It refuses the container.
    Refuses,
    /// Not told by the Compose file: a volume that exists keeps its own options, a new one is refused.
    Volume,
}

/// A source that is not there. Kept apart from what is there and deliberately not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// What people call it, as in [`Read`](super::Read).
    pub source: String,
    /// The path as configured.
    pub path: String,
    /// Path in the container.
    pub target: String,
    /// Git tracks it, or files in it: somebody took away what belongs there.
    pub tracked: bool,
    /// Below `/run` and the like, where things come and go with other programs.
    pub passing: bool,
    /// What a new container would get.
    pub engine: Engine,
}

/// What a container has at a target.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// What it read at its last start, if that is known.
    pub record: Option<&'a Reads>,
    /// What the engine says: kind of mount, path of the host, path in the container.
    pub mounts: &'a [(&'a str, &'a str, &'a str)],
}

/// What follows from a source that is not there, each in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    /// The deployment fails before anything is stopped.
    Fail(String),
    /// It goes on, and this is said.
    Say(String),
}

/// Decides about one source, for one container; `None` where there is no container yet.
pub fn judge(absent: &Absent, held: Option<Held<'_>>) -> Consequence {
    let Absent { source, path: _, target, tracked, passing, engine } = absent;
    let next = match engine {
        Engine::MakesFolder => "a new one would get an empty folder",
        Engine::Refuses | Engine::Volume => "the engine would refuse a new one",
    };
    if held.is_some_and(|held| holds(absent, held)) {
        let words = format!("{source}, mounted at {target}, is gone; the container still has what was there, {next}");
        return if *passing { Consequence::Say(words) } else { Consequence::Fail(words) };
    }
    let words = format!("{source}, to be mounted at {target}, does not exist");
    match engine {
        _ if *tracked => Consequence::Fail(format!("{words}, though git tracks it")),
        Engine::MakesFolder => Consequence::Say(format!("{words}; the engine makes an empty folder of that name")),
        Engine::Refuses => Consequence::Fail(format!("{words}, and the engine refuses that")),
        Engine::Volume => Consequence::Say(format!("{words}; the engine refuses a new volume of it")),
    }
}

/// Whether the container was made with this very source, and not with another at the same target.
fn holds(absent: &Absent, held: Held<'_>) -> bool {
    let recorded = held.record.and_then(|reads| reads.0.get(&absent.target));
    if let Some(read) = recorded {
        // A label has no names of sources.
        return read.source.is_empty() || read.source == absent.source;
    }
    held.mounts.iter().any(|(kind, path, target)| {
        *target == absent.target
            && match absent.engine {
                Engine::Volume => *kind == "volume",
                Engine::MakesFolder | Engine::Refuses => *kind == "bind" && *path == absent.path,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn absent(engine: Engine) -> Absent {
        let [source, path, target] = ["conf", "/srv/conf", "/t"].map(str::to_owned);
        Absent { source, path, target, tracked: false, passing: false, engine }
    }

    fn words(found: Consequence) -> String {
        match found {
            Consequence::Fail(words) => format!("fail: {words}"),
            Consequence::Say(words) => format!("say: {words}"),
        }
    }

    #[test]
    fn what_a_container_holds_and_is_gone_fails_and_what_never_was_is_said() {
        use super::super::Kind;
        let file = of(read(Kind::File, "a", "1"));
        let other = of(super::super::Read { source: "else".to_owned(), ..read(Kind::File, "a", "1") });
        let label = Reads::of_label(&file.label()).unwrap();
        let nothing = Reads::default();
        let bind: &[_] = &[("bind", "/srv/conf", "/t")];
        let elsewhere: &[_] = &[("bind", "/srv/else", "/t"), ("bind", "/srv/conf", "/u")];
        let volume: &[_] = &[("volume", "/var/lib/docker/volumes/v/_data", "/t")];
        let recorded = |record| Some(Held { record: Some(record), mounts: &[] });
        let seen = |mounts| Some(Held { record: None, mounts });
        let gone = "fail: conf, mounted at /t, is gone; the container still has what was there, a new one would get an \
                    empty folder";
        let refused = "fail: conf, mounted at /t, is gone; the container still has what was there, the engine would \
                       refuse a new one";
        let new = "say: conf, to be mounted at /t, does not exist; the engine makes an empty folder of that name";
        for (engine, held, wanted) in [
            (Engine::MakesFolder, recorded(&file), gone),
            (Engine::MakesFolder, recorded(&label), gone),
            (Engine::MakesFolder, recorded(&other), new),
            (Engine::MakesFolder, recorded(&nothing), new),
            (Engine::MakesFolder, seen(bind), gone),
            (Engine::MakesFolder, seen(elsewhere), new),
            (Engine::MakesFolder, seen(volume), new),
            // A folder elsewhere is not recorded; the engine knows of it.
            (Engine::MakesFolder, Some(Held { record: Some(&nothing), mounts: bind }), gone),
            (Engine::MakesFolder, None, new),
            (Engine::Refuses, recorded(&file), refused),
            (Engine::Refuses, seen(bind), refused),
            (Engine::Refuses, None, "fail: conf, to be mounted at /t, does not exist, and the engine refuses that"),
            (Engine::Volume, seen(volume), refused),
            (Engine::Volume, recorded(&file), refused),
            (
                Engine::Volume,
                None,
                "say: conf, to be mounted at /t, does not exist; the engine refuses a new volume of it",
            ),
        ] {
            assert_eq!(words(judge(&absent(engine), held)), wanted, "{engine:?} {held:?}");
        }
    }

    #[test]
    fn what_git_tracks_is_missed_from_the_start_and_what_comes_and_goes_is_only_said() {
        let tracked = Absent { tracked: true, ..absent(Engine::MakesFolder) };
        let missed = "fail: conf, to be mounted at /t, does not exist, though git tracks it";
        assert_eq!(words(judge(&tracked, None)), missed);
        let passing = Absent { passing: true, ..absent(Engine::MakesFolder) };
        let held = Held { record: None, mounts: &[("bind", "/srv/conf", "/t")] };
        assert!(words(judge(&passing, Some(held))).starts_with("say: conf, mounted at /t, is gone"));
    }
}
