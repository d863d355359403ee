//! Traefik, by a file of its file provider: services, which the user's routers name. Traefik answers nothing: what is known
//! of it is what the file says, and that it has read it is waited for.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use crate::{
    FrontError, file,
    front::{Front, Told},
    record,
    wanted::{Drain, Means, Open, Place, Stands, Wanted},
};

/// Traefik reads a changed file at once, and takes changes no more often than every two seconds by default
/// (`providersThrottleDuration`).
const TAKEN: Duration = Duration::from_secs(4);

/// Traefik, for one repository.
#[derive(Debug)]
pub struct Traefik {
    /// The file that is written, in the folder that the file provider watches.
    pub file: PathBuf,
    /// The repository as `repos.yaml` calls it.
    pub repository: String,
}

impl Traefik {
    fn text(&self, wanted: &Wanted) -> String {
        let led = wanted.led();
        let mut text = format!(
            "# Written by turnout, which replaces it at every switch: do not edit.\n{}\nhttp:\n  services:\n",
            record::comment(&self.repository, &led)
        );
        for place in &wanted.places {
            let Place { name, .. } = place;
            let _ = writeln!(text, "    {name}:\n      weighted:\n        services:");
            for colour in place.served() {
                let _ =
                    writeln!(text, "          - name: {name}-{}\n            weight: {}", colour.name, colour.weight);
            }
            if place.served().count() > 1 {
                let _ = writeln!(
                    text,
                    "        sticky:\n          cookie:\n            name: turnout_{name}\n            httpOnly: true"
                );
            }
            for colour in place.served() {
                let _ = writeln!(text, "    {name}-{}:\n      loadBalancer:\n        servers:", colour.name);
                for target in &colour.targets {
                    let _ = writeln!(text, "          - url: \"http://{target}\"");
                }
            }
        }
        text
    }

    /// Its file is this repository's, or not there.
    fn may_replace(&self, text: Option<&str>) -> Result<(), FrontError> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(()) };
        let nobodys = || record::find(text).is_none().then(|| "is not turnout's".to_owned());
        let Some(what) = record::others(text, &self.repository).or_else(nobodys) else { return Ok(()) };
        Err(FrontError::Lacks {
            front: self.name(),
            what: format!("cannot be told: that file {what}"),
            remedy: "name a file of its own under `adapter`, or move that one away".to_owned(),
        })
    }

    async fn move_to(&self, wanted: &Wanted) -> Result<bool, FrontError> {
        let text = self.text(wanted);
        let before = file::read(&self.file)?;
        self.may_replace(before.as_deref())?;
        if before.as_ref() == Some(&text) {
            return Ok(false);
        }
        if let Some((_, led)) = before.as_deref().and_then(record::find) {
            wanted.may_follow(&led).map_err(|(what, remedy)| FrontError::Lacks { front: self.name(), what, remedy })?;
        }
        file::replace(&self.file, &text)?;
        tokio::time::sleep(TAKEN).await;
        Ok(true)
    }
}

impl Front for Traefik {
    fn name(&self) -> String {
        format!("Traefik with {}", self.file.display())
    }

    fn means(&self) -> Means {
        Means {
            program: "Traefik",
            holds: false,
            weights: true,
            pins: true,
            answers: false,
            counts: false,
            bytes: false,
            together: true,
            drain: Drain::Waited,
        }
    }

    fn stands(&self) -> Told<'_, Stands> {
        Box::pin(async {
            let Some(text) = file::read(&self.file)? else { return Ok(Stands::Unknown) };
            Ok(match record::find(&text) {
                None if text.trim().is_empty() => Stands::Unknown,
                None => Stands::Otherwise { why: format!("{} is not turnout's", self.file.display()), at: (0, 0) },
                Some((repository, _)) if repository != self.repository => {
                    let why = format!("{} is the repository {repository}'s", self.file.display());
                    Stands::Otherwise { why, at: (0, 0) }
                }
                Some((_, led)) => Stands::Leads(led),
            })
        })
    }

    fn check<'f>(&'f self, _wanted: &'f Wanted) -> Told<'f, ()> {
        Box::pin(async {
            self.may_replace(file::read(&self.file)?.as_deref())?;
            file::can_be_replaced(&self.file)
        })
    }

    fn could_share(&self) -> Told<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn apply<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, bool> {
        Box::pin(self.move_to(wanted))
    }

    fn open<'f>(&'f self, _colour: &'f str) -> Told<'f, Open> {
        Box::pin(async { Ok(Open::Unseen) })
    }
}

#[cfg(test)]
mod tests {
    use turnout_traffic::Colour;

    use super::*;

    fn wanted(generation: u64, colours: &[(&str, u64, u16)]) -> Wanted {
        let colour = |(name, weight, port): &(&str, u64, u16)| Colour {
            name: (*name).to_owned(),
            generation,
            weight: *weight,
            targets: vec![([127, 0, 0, 1], *port).into()],
        };
        let place = Place { name: "shop".to_owned(), colours: colours.iter().map(colour).collect() };
        Wanted { generation, revision: 0, places: vec![place] }
    }

    #[test]
    fn the_file_is_what_the_file_provider_reads() {
        let front = Traefik { file: "/etc/traefik/dynamic/shop.yml".into(), repository: "shop".to_owned() };
        assert_eq!(
            front.text(&wanted(7, &[("red", 75, 20_000), ("blue", 25, 20_001)])),
            r#"# Written by turnout, which replaces it at every switch: do not edit.
# turnout: {"turnout":1,"repository":"shop","generation":7,"revision":0,"colours":[{"name":"blue","generation":7,"weight":25},{"name":"red","generation":7,"weight":75}]}
http:
  services:
    shop:
      weighted:
        services:
          - name: shop-red
            weight: 75
          - name: shop-blue
            weight: 25
        sticky:
          cookie:
            name: turnout_shop
            httpOnly: true
    shop-red:
      loadBalancer:
        servers:
          - url: "http://127.0.0.1:20000"
    shop-blue:
      loadBalancer:
        servers:
          - url: "http://127.0.0.1:20001"
"#
        );
        assert!(!front.text(&wanted(7, &[("red", 100, 20_000)])).contains("sticky"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_what_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let front = Traefik { file: folder.path().join("shop.yml"), repository: "shop".to_owned() };
        assert_eq!(front.stands().await.unwrap(), Stands::Unknown);
        assert!(front.apply(&wanted(7, &[("red", 100, 20_000)])).await.unwrap());
        assert!(!front.apply(&wanted(7, &[("red", 100, 20_000)])).await.unwrap());
        let Stands::Leads(led) = front.stands().await.unwrap() else { panic!("it leads") };
        assert_eq!((led.generation, led.colours[0].name.as_str()), (7, "red"));
        let older = front.apply(&wanted(6, &[("blue", 100, 20_001)])).await.unwrap_err().to_string();
        assert!(older.contains("is older"), "{older}");
        let other = Traefik { file: front.file.clone(), repository: "blog".to_owned() };
        assert!(matches!(other.stands().await.unwrap(), Stands::Otherwise { why, .. } if why.contains("shop")));
        assert!(other.check(&wanted(1, &[])).await.unwrap_err().to_string().contains("repository shop"));
        std::fs::write(&front.file, "http: {}\n").unwrap();
        assert!(front.check(&wanted(8, &[])).await.unwrap_err().to_string().contains("is not turnout's"));
        assert!(matches!(front.stands().await.unwrap(), Stands::Otherwise { .. }));
    }
}
