//! The proxy dies at each of its named points, under load. What is served afterwards is one whole generation, the one before or the
//! new one, on the disk and at all listeners; and whoever asked goes on.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    overlap::Load,
    support::{Place, Proxy, apply, free_address, program, until},
    web::{Browser, Web, http},
};

/// Points of a change, in their order, and whether the new generation is on the disk by then; not said: either may be.
const OF_A_CHANGE: &[(&str, Option<bool>)] = &[
    ("before listening", Some(false)),
    ("after listening", Some(false)),
    ("before writing the new route file", Some(false)),
    ("after writing the new route file", Some(false)),
    ("before renaming the route file", Some(false)),
    ("after renaming the route file", Some(true)),
    ("after syncing the directory", Some(true)),
    ("before moving the routes", Some(true)),
    ("after moving the routes", Some(true)),
    ("before answering", Some(true)),
    ("after half an answer", Some(true)),
    ("after answering", Some(true)),
];

/// Points at which one process hands over to another, and whether the one before lives on.
const OF_A_SUCCESSION: &[(&str, bool)] = &[
    ("after taking the listeners", true),
    ("before giving the table", false),
    ("after giving the table", false),
    ("after taking the table", true),
    ("before saying that it serves", true),
    ("after naming the next process", false),
];

struct Shop {
    place: Place,
    point: PathBuf,
    webs: [Web; 2],
    /// The last one is listened on from the second generation on.
    listen: [SocketAddr; 3],
}

impl Shop {
    fn new() -> Shop {
        let place = Place::new();
        fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
        let point = place.socket().with_file_name("point");
        fs::write(&point, "").unwrap();
        let listen = [free_address(), free_address(), free_address()];
        Shop { point, webs: [Web::named("red"), Web::named("blue")], listen, place }
    }

    fn start(&self) -> Proxy {
        let mut command = program();
        command.env("TURNOUT_TEST_DIES_AT", &self.point);
        let mut proxy = self.place.begin_with(command, &[]);
        proxy.says("ready:");
        proxy
    }

    fn routes(&self, generation: u64) -> Value {
        let web = if generation == 1 { 0 } else { 1 };
        let of = |listen: &SocketAddr| http(*listen, ["red", "blue"][web], generation, self.webs[web].address());
        self.listen.iter().take(1 + usize::try_from(generation).unwrap()).map(of).collect()
    }

    /// Which generation is served: the same one by all listeners, and it is the one on the disk.
    fn served(&self, proxy: &Proxy) -> u64 {
        let status = proxy.status();
        let generation = status["repositories"]["shop"]["generation"].as_u64().unwrap();
        let name = if generation == 1 { "red" } else { "blue" };
        for listen in self.listen.iter().take(1 + usize::try_from(generation).unwrap()) {
            assert_eq!(Browser::to(*listen).get("/get").text(), format!("{name} /get 0"), "{listen}: {status}");
        }
        assert_eq!(self.place.kept().table.repositories["shop"].generation, generation, "{status}");
        generation
    }
}

/// Its end was that of a SIGKILL.
fn died(proxy: &mut Proxy, at: &str) {
    assert_eq!(proxy.ended().signal(), Some(9), "{at}");
}

#[test]
fn a_change_that_dies_anywhere_leaves_one_whole_generation() {
    for (at, is_new) in OF_A_CHANGE {
        let shop = Shop::new();
        let mut proxy = shop.start();
        proxy.apply("shop", 1, &shop.routes(1));
        let load = Load::on(shop.listen[0], 4);
        load.goes_on(20);
        fs::write(&shop.point, at).unwrap();
        proxy.tells(&apply("shop", 2, &shop.routes(2)));
        died(&mut proxy, at);
        fs::write(&shop.point, "").unwrap();
        let proxy = shop.start();
        let generation = shop.served(&proxy);
        if let Some(is_new) = is_new {
            assert_eq!(generation == 2, *is_new, "{at}");
        }
        assert_eq!(proxy.status()["origin"], "current", "{at}");
        // Whoever asked asks again, and then for the next one.
        let lost = load.wrong().len();
        let answer = proxy.ask(&apply("shop", 2, &shop.routes(2)));
        assert_eq!((&answer["answer"], &answer["changed"]), (&json!("applied"), &json!(generation == 1)), "{at}");
        assert_eq!(shop.served(&proxy), 2, "{at}");
        load.goes_on(20);
        let wrong = load.wrong();
        assert!(wrong.len() >= lost, "{at}");
        // Whoever came while there was none; nobody afterwards but those that came then.
        load.end();
    }
}

#[test]
fn a_succession_that_dies_anywhere_leaves_one_proxy_that_writes() {
    for (at, lives_on) in OF_A_SUCCESSION {
        let shop = Shop::new();
        let mut proxy = shop.start();
        proxy.apply("shop", 1, &shop.routes(1));
        let load = Load::on(shop.listen[0], 4);
        load.goes_on(20);
        fs::write(&shop.point, at).unwrap();
        if *lives_on {
            let answer = proxy.renew();
            assert_eq!(answer["code"], "not_renewed", "{at}: {answer}");
            assert!(proxy.runs(), "{at}");
            assert_eq!(shop.place.processes(), [proxy.pid()], "{at}");
        } else {
            proxy.tells(&json!({"version": 1, "request": "renew"}));
            died(&mut proxy, at);
        }
        fs::write(&shop.point, "").unwrap();
        let given = *at != "before giving the table";
        let own = if *lives_on || given {
            // Somebody serves: the one before, or the next one, which it is from the table on.
            until("it answers", || shop.place.processes().len() == 1 && answers(&shop));
            if *lives_on {
                let wrong = load.wrong();
                assert!(wrong.is_empty(), "{at}: {wrong:?}");
            }
            None
        } else {
            until("both are gone", || shop.place.processes().is_empty());
            Some(shop.start())
        };
        let asked = own.as_ref().unwrap_or(&proxy);
        assert_eq!(shop.served(asked), 1, "{at}");
        asked.apply("shop", 2, &shop.routes(2));
        assert_eq!(shop.served(asked), 2, "{at}");
        // There is one who writes, and no second one can begin.
        let mut second = shop.place.begin(&[]);
        assert_eq!(second.ended().code(), Some(1), "{at}");
        assert_eq!(asked.renew()["answer"], "done", "{at}");
        assert_eq!(shop.served(asked), 2, "{at}");
        load.goes_on(20);
        load.end();
    }
}

/// Whether somebody answers at the control socket.
fn answers(shop: &Shop) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(shop.place.socket())?;
        stream.write_all(b"{\"version\":1,\"request\":\"status\"}\n")?;
        let mut said = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(stream), &mut said)?;
        Ok(said)
    };
    ask().is_ok_and(|said| said.contains("\"status\""))
}

/// As the docs name them.
#[test]
fn each_point_is_in_the_docs() {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/testing.md")).unwrap();
    let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    for point in OF_A_CHANGE.iter().map(|(point, _)| point).chain(OF_A_SUCCESSION.iter().map(|(point, _)| point)) {
        assert!(docs.contains(&format!("`{point}`")), "docs/testing.md lacks `{point}`");
    }
}
