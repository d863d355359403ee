//! Which names of variables speak of a secret.

/// Parts of a variable's name that make its value secret, wherever they stand.
const ANYWHERE: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASSCODE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "APIKEY",
    "PRIVATE",
    "CONNECTIONSTRING",
    "CONNECTION_STRING",
];
/// Words of a variable's name that make its value secret when they stand between `_`, `-` and `.`.
const WORDS: &[&str] = &[
    "PASS",
    "PASSES",
    "PWD",
    "PW",
    "KEY",
    "KEYS",
    "DSN",
    "AUTH",
    "SALT",
    "PEPPER",
    "SIGNATURE",
    "JWT",
    "PIN",
    "COOKIE",
];
/// Ends of names that speak of a secret without holding it.
const ABOUT: &[&str] =
    &["FILE", "PATH", "DIR", "NAME", "USER", "USERNAME", "ID", "LENGTH", "TTL", "EXPIRY", "ENABLED", "ALGORITHM"];
/// Whether the value of a variable of this name is taken for a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // The shell's: where one is.
    if matches!(name.as_str(), "PWD" | "OLDPWD") {
        return false;
    }
    let words: Vec<&str> = name.split(['_', '-', '.', ' ']).filter(|word| !word.is_empty()).collect();
    if words.len() > 1 && words.last().is_some_and(|last| ABOUT.contains(last)) {
        return false;
    }
    ANYWHERE.iter().any(|part| name.contains(part))
        || words.iter().any(|word| WORDS.contains(word) || word.len() > 6 && word.ends_with("KEY"))
}
