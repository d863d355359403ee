//! The libraries that are compiled in, for `turnout --version`: no package of the system replaces them, so that whoever reads
//! of a security fault has to know which they are.

use std::sync::LazyLock;

use crate::{git, net, store};

static WORDS: LazyLock<String> = LazyLock::new(|| {
    let openssl = net::tls::library_version();
    format!(
        "{}\nbuilt in: {openssl}; libgit2 {}; SQLite {}",
        env!("CARGO_PKG_VERSION"),
        git::libgit2_version(),
        store::sqlite_version()
    )
});

/// The version of turnout, and a line of what is built in.
pub(super) fn words() -> &'static str {
    &WORDS
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_are_named_with_their_versions() {
        let said = super::words();
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some(env!("CARGO_PKG_VERSION")));
        let line = lines.next().unwrap();
        for (name, least) in [("OpenSSL ", '3'), ("libgit2 ", '1'), ("SQLite ", '3')] {
            let (_, rest) = line.split_once(name).unwrap();
            assert!(rest.starts_with(least) && rest.contains('.'), "{line}");
        }
        assert_eq!(lines.next(), None);
    }
}
