//! Which attributes do not merge in the usual way, and which rule each has instead.

/// How an attribute merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The later value alone.
    Replace,
    /// Both as lists of `key=value`, appended; later keys win when duplicates are dropped.
    ToSequence,
    /// As [`Rule::ToSequence`], but exact repetitions are dropped and one host may have several addresses.
    ExtraHosts,
    /// A text is the context.
    Build,
    /// A list of services is a mapping with default conditions.
    DependsOn,
    /// A list of names is a mapping to nothing.
    NullMapping,
    /// Options merge while the drivers agree.
    Logging,
    /// Pools combine by subnet.
    IpamConfig,
}

/// The rule of the attribute at `path`, if it has one of its own.
pub(super) fn rule_at(path: &[&str]) -> Option<Rule> {
    match path {
        ["services", _, rest @ ..] => match rest {
            ["command" | "entrypoint"] | ["healthcheck", "test"] | ["ulimits", _] => Some(Rule::Replace),
            ["annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "environment"]
            | ["labels" | "sysctls" | "tmpfs"]
            | ["build", "args" | "additional_contexts" | "labels"]
            | ["deploy", "labels"]
            | ["volumes", _, "volume", "labels"] => Some(Rule::ToSequence),
            ["extra_hosts"] | ["build", "extra_hosts"] => Some(Rule::ExtraHosts),
            ["build"] => Some(Rule::Build),
            ["depends_on"] => Some(Rule::DependsOn),
            ["models" | "networks"] => Some(Rule::NullMapping),
            ["logging"] => Some(Rule::Logging),
            _ => None,
        },
        ["networks" | "volumes", _, "labels"] => Some(Rule::ToSequence),
        ["networks", _, "ipam", "config"] => Some(Rule::IpamConfig),
        _ => None,
    }
}
