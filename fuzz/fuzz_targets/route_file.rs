//! Any bytes are a route file or mistakes that say where they stand, in bounded text. What was read can be written, and is read as
//! the same; and whoever asks its routes for a colour gets one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use turnout_fuzz::traffic::{MISTAKES, Mistakes, RouteFile, Table, choose::Asks};

fuzz_target!(|body: &[u8]| {
    // As it is, which hardly ever has the right digest; and with that.
    bounded(RouteFile::from_bytes(body).err());
    let head = format!("{{\"format\":1,\"sha256\":\"{}\"}}\n", hex::encode(Sha256::digest(body)));
    match RouteFile::from_bytes(&[head.as_bytes(), body].concat()) {
        Err(mistakes) => bounded(Some(mistakes)),
        Ok(file) => {
            let written = file.to_bytes().expect("what was read is within its bounds");
            assert_eq!(RouteFile::from_bytes(&written).as_ref(), Ok(&file));
            coloured(&file.table, body);
        }
    }
});

fn bounded(mistakes: Option<Mistakes>) {
    let Some(mistakes) = mistakes else { return };
    assert!((1..=MISTAKES + 1).contains(&mistakes.0.len()), "{}", mistakes.0.len());
    assert!(mistakes.to_string().len() < 100_000);
}

/// Each request has a colour, and a cookie leads to none that has no weight.
fn coloured(table: &Table, cookie: &[u8]) {
    for route in table.repositories.values().flat_map(|repository| &repository.routes) {
        let headers = [(&b"cookie"[..], cookie), (b"x-forwarded-for", cookie)];
        let client = [192, 0, 2, 1].into();
        let asks = Asks { client, trusted: true, headers: headers.into_iter(), stay_cookie: "turnout-0123abcd" };
        let wish = route.wish(&asks, || 7);
        let at = route.colour_for(&wish).expect("the weights are whole");
        assert!(route.colours[at].weight > 0 || !route.beyond.pins.is_empty() || route.beyond.preview.is_some());
    }
}
