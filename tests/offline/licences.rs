//! Every dependency's licence is one that `deny.toml` allows. `cargo deny check licenses` says the same and more; this
//! test says it on machines where that program is not installed.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

#[test]
fn dependencies_are_permissive() {
    let allowed = allowed_licences(include_str!("../../deny.toml"));
    assert!(allowed.contains("MIT"), "deny.toml was not understood: {allowed:?}");
    let packages = packages();
    assert!(packages.len() > 50, "cargo metadata lists {} packages only", packages.len());
    let mut faults = Vec::new();
    for (name, licence) in packages {
        match licence {
            Some(licence) if accepts(&licence, &allowed) => {}
            Some(licence) => faults.push(format!("{name}: {licence}")),
            None => faults.push(format!("{name}: no licence named in its manifest")),
        }
    }
    assert!(faults.is_empty(), "not allowed by deny.toml:\n{}", faults.join("\n"));
}

#[test]
fn expressions() {
    let allowed: BTreeSet<_> = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-2.0-only OR MIT", true),
        ("GPL-2.0-only/MIT", true),
        ("GPL-2.0-only AND MIT", false),
        ("MIT AND Zlib", true),
        ("(GPL-2.0-only OR MIT) AND Zlib", true),
        ("MIT AND (GPL-2.0-only OR ISC)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        // AND binds more tightly than OR.
        ("MIT OR GPL-2.0-only AND ISC", true),
        ("", false),
        ("MIT OR", false),
    ] {
        assert_eq!(accepts(expression, &allowed), expected, "{expression:?}");
    }
}

/// Name, version and licence of everything in the tree of this platform, ourselves apart.
fn packages() -> Vec<(String, Option<String>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let host = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| package["name"] != env!("CARGO_PKG_NAME"))
        .map(|package| (format!("{} {}", package["name"], package["version"]), text(&package["license"])))
        .collect()
}

/// The list `allow` of `[licenses]`: one quoted name a line.
fn allowed_licences(deny: &str) -> BTreeSet<String> {
    let section = deny.split("\n[licenses]").nth(1).and_then(|rest| rest.split("allow = [").nth(1)).unwrap_or("");
    let list = section.split(']').next().unwrap_or("");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is the old form of OR.
fn accepts(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = all(rest, allowed)?;
    while let [word, tail @ ..] = *rest {
        if *word != "OR" {
            break;
        }
        *rest = tail;
        met |= all(rest, allowed)?;
    }
    Some(met)
}

fn all(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(rest, allowed)?;
    while let [word, tail @ ..] = *rest {
        if *word != "AND" {
            break;
        }
        *rest = tail;
        met &= one(rest, allowed)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = any(rest, allowed)?;
            let [")", tail @ ..] = *rest else { return None };
            *rest = tail;
            Some(met)
        }
        [licence, "WITH", exception, tail @ ..] => {
            *rest = tail;
            Some(allowed.contains(&format!("{licence} WITH {exception}")))
        }
        [licence, tail @ ..] if !matches!(*licence, "AND" | "OR" | ")") => {
            *rest = tail;
            Some(allowed.contains(*licence))
        }
        _ => None,
    }
}
