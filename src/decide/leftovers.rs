//! Which images that turnout built are no longer needed, and why. Pure.
//!
//! An image is *earlier* when its name moved on to another: it has no name any more. Whatever has a name is somebody's
//! wish and stays; so does what a container uses, running or not.

use std::collections::BTreeMap;

use crate::plan::BuiltImage;

/// An image that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The image's ID.
    pub id: String,
    /// What it is, in words: `redshop-web`.
    pub of: String,
    /// Why, in words.
    pub why: String,
    /// Bytes that are freed at most.
    pub size: u64,
}

/// What becomes of images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// What is removed now.
    pub removals: Vec<Removal>,
    /// These would go, but stay for the reason given.
    pub spared: Vec<String>,
}

/// The earlier images of a project beyond those that are kept: `keep` of each service, the newest.
///
/// One that a container uses counts among those that are kept, and stays also where it is older.
pub fn earlier(images: &[BuiltImage], keep: usize) -> Judged {
    let mut services: BTreeMap<(&str, &str), Vec<&BuiltImage>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.names.is_empty() && !is_derived(image, images)) {
        services.entry((&image.project, &image.service)).or_default().push(image);
    }
    let mut judged = Judged::default();
    for mut images in services.into_values() {
        images.sort_by(|a, b| (b.at, &a.id).cmp(&(a.at, &b.id)));
        for (before, image) in images.into_iter().enumerate().skip(keep) {
            let builds = if before == 0 {
                "the build before the present one".to_owned()
            } else {
                format!("{} builds ago", before + 1)
            };
            let kept = match keep {
                0 => "none is kept (keep_images)".to_owned(),
                1 => "1 is kept (keep_images)".to_owned(),
                keep => format!("{keep} are kept (keep_images)"),
            };
            judged.one(image, format!("{builds}; {kept}"));
        }
    }
    judged
}

/// Whether somebody made it of one of these (`docker commit`, a Dockerfile of theirs): it inherits all labels, and has
/// more layers.
fn is_derived(image: &BuiltImage, all: &[BuiltImage]) -> bool {
    let same = all.iter().filter(|other| other.fingerprint == image.fingerprint);
    same.into_iter().any(|other| other.layers.len() < image.layers.len() && image.layers.starts_with(&other.layers))
}

/// The images of a project whose repository is gone from the list. A name goes with them only where it is the one that
/// Compose gives by itself: any other may mean something to somebody.
pub fn abandoned(images: &[BuiltImage], repository: &str) -> Judged {
    let mut judged = Judged::default();
    for image in images {
        let own = |name: &String| {
            let name = name.strip_suffix(":latest").unwrap_or(name);
            ['-', '_'].iter().any(|between| name == format!("{}{between}{}", image.project, image.service))
        };
        if is_derived(image, images) {
            let text = format!("image {} of {}: somebody made it of another", short(&image.id), of(image));
            judged.spared.push(text);
            continue;
        }
        match image.names.iter().find(|name| !own(name)) {
            Some(name) => judged.spared.push(format!(
                "image {} of {}: it is named {name}, which turnout did not give",
                short(&image.id),
                of(image)
            )),
            None => judged.one(image, format!("the repository `{repository}` is not in the list any more")),
        }
    }
    judged
}

impl Judged {
    fn one(&mut self, image: &BuiltImage, why: String) {
        match &image.used_by {
            Some(container) => {
                self.spared.push(format!(
                    "image {} of {}: the container {container} uses it",
                    short(&image.id),
                    of(image)
                ));
            }
            None => self.removals.push(Removal { id: image.id.clone(), of: of(image), why, size: image.size }),
        }
    }

    /// Takes in what was found of another project, or of another kind of image.
    pub fn join(&mut self, other: Judged) {
        self.removals.extend(other.removals);
        self.spared.extend(other.spared);
    }
}

/// What an image is, in words: `redshop-web`.
fn of(image: &BuiltImage) -> String {
    format!("{}-{}", image.project, image.service)
}

/// An image's ID as people compare it.
pub fn short(id: &str) -> String {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    format!("sha256:{}", digits.chars().take(12).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, service: &str, at: i64) -> BuiltImage {
        BuiltImage {
            id: id.into(),
            project: "redshop".into(),
            service: service.into(),
            fingerprint: id.into(),
            at,
            size: 7,
            ..BuiltImage::default()
        }
    }

    fn ids(judged: &Judged) -> Vec<&str> {
        judged.removals.iter().map(|removal| removal.id.as_str()).collect()
    }

    #[test]
    fn the_newest_of_each_service_stay() {
        let images: Vec<BuiltImage> = (1..=5)
            .map(|n| image(&format!("w{n}"), "web", n))
            .chain((1..=2).map(|n| image(&format!("d{n}"), "db", n)))
            .collect();
        for (keep, gone) in [
            (0, vec!["d2", "d1", "w5", "w4", "w3", "w2", "w1"]),
            (1, vec!["d1", "w4", "w3", "w2", "w1"]),
            (3, vec!["w2", "w1"]),
            (5, vec![]),
        ] {
            assert_eq!(ids(&earlier(&images, keep)), gone, "keep {keep}");
        }
        let judged = earlier(&images, 3);
        assert_eq!(judged.removals[0].why, "4 builds ago; 3 are kept (keep_images)");
        assert_eq!(judged.removals[0].of, "redshop-web");
        assert_eq!(
            earlier(&images[..1], 0).removals[0].why,
            "the build before the present one; none is kept (keep_images)"
        );
    }

    #[test]
    fn two_judgements_are_one_with_all_of_both() {
        let used = BuiltImage { used_by: Some("redshop-db-1".into()), ..image("d1", "db", 1) };
        let mut both = abandoned(&[image("w1", "web", 1)], "shop");
        both.join(abandoned(&[used, image("d2", "db", 2)], "shop"));
        assert_eq!(ids(&both), ["w1", "d2"]);
        assert_eq!(both.spared.len(), 1);
    }

    #[test]
    fn what_has_a_name_or_a_user_stays() {
        let mut images: Vec<BuiltImage> = (1..=4).map(|n| image(&format!("w{n}"), "web", n)).collect();
        images[3].names = vec!["redshop-web:latest".into()];
        images[0].names = vec!["backup:1".into()];
        images[1].used_by = Some("redshop-web-run-1".into());
        let judged = earlier(&images, 0);
        assert_eq!(ids(&judged), ["w3"]);
        assert_eq!(judged.spared, ["image sha256:w2 of redshop-web: the container redshop-web-run-1 uses it"]);
        // One in use counts among those that are kept: w3 is second, w2 the one that stays.
        images[1].at = 9;
        assert_eq!(ids(&earlier(&images, 1)), ["w3"]);
        // Other projects are counted for themselves.
        images[2].project = "blueshop".into();
        assert_eq!(ids(&earlier(&images, 1)), Vec::<&str>::new());
    }

    #[test]
    fn what_somebody_made_of_one_is_theirs() {
        let layers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let ours = BuiltImage { layers: layers(&["a", "b"]), ..image("w1", "web", 1) };
        let committed = BuiltImage { id: "c".into(), layers: layers(&["a", "b", "c"]), ..ours.clone() };
        // Built anew of the same, with other layers.
        let again = BuiltImage { id: "w2".into(), layers: layers(&["a", "x"]), ..ours.clone() };
        let images = [ours, committed, again];
        assert_eq!(ids(&earlier(&images, 0)), ["w1", "w2"]);
        let judged = abandoned(&images, "shop");
        assert_eq!(ids(&judged), ["w1", "w2"]);
        assert_eq!(judged.spared, ["image sha256:c of redshop-web: somebody made it of another"]);
    }

    #[test]
    fn an_abandoned_project_loses_its_own_names_only() {
        let named = |id: &str, names: &[&str]| BuiltImage {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..image(id, "web", 1)
        };
        let used = BuiltImage { used_by: Some("redshop-web-1".into()), ..named("u", &["redshop-web:latest"]) };
        let images = [
            named("a", &[]),
            named("b", &["redshop-web:latest"]),
            named("c", &["redshop_web"]),
            named("d", &["redshop-web:latest", "backup:1"]),
            named("e", &["redshop-web:1.0"]),
            used,
        ];
        let judged = abandoned(&images, "shop");
        assert_eq!(ids(&judged), ["a", "b", "c"]);
        assert_eq!(judged.removals[0].why, "the repository `shop` is not in the list any more");
        assert_eq!(
            judged.spared,
            [
                "image sha256:d of redshop-web: it is named backup:1, which turnout did not give",
                "image sha256:e of redshop-web: it is named redshop-web:1.0, which turnout did not give",
                "image sha256:u of redshop-web: the container redshop-web-1 uses it",
            ]
        );
    }
}
