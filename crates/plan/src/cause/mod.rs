//! Why a step is in a plan: as data, from which its words and a code for programs are made. One file a noun that the
//! cause lies in.

mod container;
mod image;
mod network;
mod service;
mod volume;

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

pub use container::ContainerCause;
pub(crate) use container::Shared;
pub use image::ImageCause;
pub use network::NetworkCause;
pub use service::ServiceCause;
pub use volume::VolumeCause;

/// Why a step is in a plan. Its [`fmt::Display`] continues the words for the step: `environment APP_MODE changed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It lies in a container.
    Container(ContainerCause),
    /// It lies in an image.
    Image(ImageCause),
    /// It lies in a network.
    Network(NetworkCause),
    /// It lies in a service, or in what was asked for.
    Service(ServiceCause),
    /// It lies in a volume.
    Volume(VolumeCause),
    /// Several at once, none of them twice.
    Several(Vec<Cause>),
    /// Whoever asked for the plan gave it, in words.
    Given(String),
}

impl Cause {
    /// Joins causes, each told once.
    pub(crate) fn of(causes: impl IntoIterator<Item = Cause>) -> Cause {
        let mut distinct: Vec<Cause> = Vec::new();
        for cause in causes {
            if !distinct.contains(&cause) {
                distinct.push(cause);
            }
        }
        match distinct.len() {
            1 => distinct.remove(0),
            _ => Cause::Several(distinct),
        }
    }

    /// Codes for programs, `noun.kind`, which stay when the words change: one for each of the causes. That an image may
    /// become another one has the code of what brings it, too.
    pub fn codes(&self) -> Vec<&'static str> {
        match self {
            Cause::Container(cause) => vec![cause.code()],
            Cause::Image(cause) => cause.codes(),
            Cause::Network(cause) => vec![cause.code()],
            Cause::Service(cause) => vec![cause.code()],
            Cause::Volume(cause) => vec![cause.code()],
            Cause::Several(causes) => causes.iter().flat_map(Cause::codes).collect(),
            Cause::Given(_) => vec!["given"],
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Container(cause) => cause.fmt(f),
            Cause::Image(cause) => cause.fmt(f),
            Cause::Network(cause) => cause.fmt(f),
            Cause::Service(cause) => cause.fmt(f),
            Cause::Volume(cause) => cause.fmt(f),
            Cause::Several(causes) => {
                let words: Vec<String> = causes.iter().map(Cause::to_string).collect();
                f.write_str(&words.join("; "))
            }
            Cause::Given(words) => f.write_str(words),
        }
    }
}

/// As two fields of the step: `cause`, the words, and `cause_codes`.
impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut told = serializer.serialize_struct("Cause", 2)?;
        told.serialize_field("cause", &self.to_string())?;
        told.serialize_field("cause_codes", &self.codes())?;
        told.end()
    }
}

impl From<&str> for Cause {
    fn from(words: &str) -> Self {
        Cause::Given(words.to_owned())
    }
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Cause::Given(words)
    }
}

impl From<ContainerCause> for Cause {
    fn from(cause: ContainerCause) -> Self {
        Cause::Container(cause)
    }
}

impl From<ImageCause> for Cause {
    fn from(cause: ImageCause) -> Self {
        Cause::Image(cause)
    }
}

impl From<NetworkCause> for Cause {
    fn from(cause: NetworkCause) -> Self {
        Cause::Network(cause)
    }
}

impl From<ServiceCause> for Cause {
    fn from(cause: ServiceCause) -> Self {
        Cause::Service(cause)
    }
}

impl From<VolumeCause> for Cause {
    fn from(cause: VolumeCause) -> Self {
        Cause::Volume(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_causes_are_told_once_each() {
        let pulled: Cause = ImageCause::Pulled { image: "a".into(), why: Box::new(ImageCause::AllAsked.into()) }.into();
        let dead: Cause = ContainerCause::Dead.into();
        let cause = Cause::of([dead.clone(), pulled.clone(), dead.clone()]);
        assert_eq!(
            cause.to_string(),
            "the engine marks the container dead; image a is pulled: every image is pulled, as asked for"
        );
        assert_eq!(cause.codes(), ["container.dead", "image.pulled", "image.all_asked"]);
        assert_eq!(Cause::of([dead.clone(), dead.clone()]), dead);
    }

    /// Codes are what programs rely on.
    #[test]
    fn every_noun_has_its_codes_and_words() {
        let absent = || Box::new(Cause::from(ImageCause::Absent("a".into())));
        let (any, arm) = (String::new(), "linux/arm64".to_owned());
        let table: Vec<(Cause, &str, &str)> = vec![
            (ContainerCause::Exited(3).into(), "container.exited", "stopped with exit code 3"),
            (ContainerCause::Anew("it begins anew").into(), "container.anew", "it begins anew"),
            (NetworkCause::Absent("a".into()).into(), "network.absent", "network a does not exist yet"),
            (NetworkCause::TrialLeft.into(), "network.trial_left", "left over from a trial that was interrupted"),
            (ServiceCause::Asked.into(), "service.asked", "asked for"),
            (ServiceCause::Scaled { from: 1, to: 3 }.into(), "service.scaled", "scaled up from 1 to 3"),
            (ServiceCause::Scaled { from: 3, to: 1 }.into(), "service.scaled", "scaled down from 3 to 1"),
            (VolumeCause::Absent("a".into()).into(), "volume.absent", "volume a does not exist yet"),
            (VolumeCause::NotMounted("a".into()).into(), "volume.not_mounted", "volume a is not mounted"),
            (
                ImageCause::For { platform: any, why: absent() }.into(),
                "image.absent",
                "image a is not there yet (any platform)",
            ),
            (
                ImageCause::For { platform: arm, why: absent() }.into(),
                "image.absent",
                "image a is not there yet (linux/arm64)",
            ),
            ("because".into(), "given", "because"),
        ];
        for (cause, code, words) in table {
            assert_eq!((cause.codes(), cause.to_string()), (vec![code], words.to_owned()));
        }
    }

    #[test]
    fn a_step_tells_its_cause_in_words_and_codes() {
        let action = crate::Action::RemoveImage { image: "a".into() };
        let step = crate::Step::new(action, ImageCause::RemovalAsked, Vec::new(), crate::Condition::Always);
        let told = serde_json::to_value(step).unwrap();
        assert_eq!(told["cause"], "removal of images was asked for");
        assert_eq!(told["cause_codes"], serde_json::json!(["image.removal_asked"]));
        assert_eq!(told["only_if"], "Always");
    }
}
