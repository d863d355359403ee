//! A repository that was deployed blue/green is in place again, or on its way there: that way is a row beside its colours.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{ColourRecord, ColourStanding, Store, StoreError, colours, error::there_is, schema};
use rusqlite::{Connection, params};

/// The colours of all repositories, from the database of a daemon that need not run; nothing where there is none, or an older one.
///
/// # Errors
/// The database cannot be read.
pub fn peek_colours(file: &Path) -> Result<Vec<ColourRecord>, StoreError> {
    const DOING: &str = "reading the colours";
    if !there_is(file, DOING)? {
        return Ok(Vec::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'colours'";
        if db.query_row(known, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(Vec::new());
        }
        let mut all = db.prepare(&format!("{} ORDER BY repo, colour", colours::COLOURS))?;
        all.query_map([], colours::record)?.collect()
    };
    look().map_err(|error| StoreError::sqlite(DOING, file, error))
}

/// The COLOR that what stays is read with, by repository, likewise.
///
/// # Errors
/// The database cannot be read.
pub fn peek_staying(file: &Path) -> Result<BTreeMap<String, String>, StoreError> {
    const DOING: &str = "reading which colour names what stays";
    if !there_is(file, DOING)? {
        return Ok(BTreeMap::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'switches'";
        if db.query_row(known, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(BTreeMap::new());
        }
        let mut all = db.prepare("SELECT repo, staying FROM switches")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    look().map_err(|error| StoreError::sqlite(DOING, file, error))
}

/// Why commits were taken back, by repository and commit, likewise; what is live again is not among them.
///
/// # Errors
/// The database cannot be read.
pub fn peek_taken_back(file: &Path) -> Result<BTreeMap<(String, String), String>, StoreError> {
    const DOING: &str = "reading which commits were taken back";
    if !there_is(file, DOING)? {
        return Ok(BTreeMap::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('reverted', 'colours')";
        if db.query_row(known, [], |row| row.get::<_, i64>(0))? < 2 {
            return Ok(BTreeMap::new());
        }
        // What is live is not tried again, it is there.
        let mut all = db.prepare(
            "SELECT repo, commit_id, why FROM reverted WHERE NOT EXISTS \
             (SELECT 1 FROM colours WHERE colours.repo = reverted.repo AND standing = ?1 AND colours.commit_id = reverted.commit_id)",
        )?;
        let row = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
        all.query_map([ColourStanding::Live.as_str()], row)?.collect()
    };
    look().map_err(|error| StoreError::sqlite(DOING, file, error))
}

/// The live colour of a repository, of those of all.
pub fn live_of<'c>(all: &'c [ColourRecord], repo: &str) -> Option<&'c ColourRecord> {
    all.iter().find(|one| one.repo == repo && one.standing == ColourStanding::Live)
}

impl Store {
    /// A way back in place begins, or goes on: its row is written before anything of it is done.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn begin_unswitch(&self, row: ColourRecord) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| colours::keep(db, &row, clock.now());
        self.inner.writer.run("recording the way back in place", work).await
    }

    /// What ran before is being stopped: from here on a crash leads on, and not back.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn unswitch_ends(&self, repo: &str, made: &str) -> Result<(), StoreError> {
        let (repo, made) = (repo.to_owned(), made.to_owned());
        let work = move |db: &Connection| {
            let mut keep = db.prepare_cached("UPDATE colours SET made = ?3 WHERE repo = ?1 AND standing = ?2")?;
            keep.execute(params![repo, ColourStanding::Leaving.as_str(), made]).map(drop)
        };
        self.inner.writer.run("recording that the colours end", work).await
    }

    /// Nothing came of a way back in place: the colours are as they were.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn forget_unswitch(&self, repo: &str) -> Result<(), StoreError> {
        let repo = repo.to_owned();
        let work = move |db: &Connection| {
            let mut forget = db.prepare_cached("DELETE FROM colours WHERE repo = ?1 AND standing = ?2")?;
            forget.execute(params![repo, ColourStanding::Leaving.as_str()]).map(drop)
        };
        self.inner.writer.run("recording that the colours stay", work).await
    }

    /// A repository is in place again: nothing more is known of its colours, its switch and its loopback ports. Commits that were
    /// taken back stay known as such.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn unswitched(&self, repo: &str) -> Result<(), StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let at = clock.now();
            for one in colours::of(db, &repo)? {
                colours::stand(db, &repo, &one.colour, ColourStanding::Removed, at)?;
            }
            for table in ["colours", "switches", "loopback_ports"] {
                db.prepare_cached(&format!("DELETE FROM {table} WHERE repo = ?1"))?.execute([&repo])?;
            }
            Ok(())
        };
        self.inner.writer.run("recording that it is in place again", work).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LoopbackPorts, Retention};
    use super::*;

    fn row(repo: &str, colour: &str, standing: ColourStanding) -> ColourRecord {
        ColourRecord {
            repo: repo.to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}{repo}"),
            standing,
            generation: 1,
            deployment: None,
            commit: None,
            since: 0,
            made: "{}".to_owned(),
        }
    }

    #[tokio::test]
    async fn nothing_of_the_switch_is_known_afterwards_and_all_of_it_when_nothing_comes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        assert_eq!(peek_colours(&file).unwrap(), []);
        assert_eq!(peek_staying(&file).unwrap(), BTreeMap::new());
        let store = Store::open(&file, Retention::default()).unwrap();
        for repo in ["shop", "blog"] {
            store.begin_colour(row(repo, "blue", ColourStanding::Live), "red").await.unwrap();
            let first = if repo == "shop" { 20_000 } else { 20_010 };
            let ports = LoopbackPorts {
                first,
                count: 1,
                repo: repo.to_owned(),
                colour: "blue".to_owned(),
                service: "web".to_owned(),
                port: 80,
            };
            assert!(store.take_loopback_ports(ports).await.unwrap());
        }
        let standings = async || -> Vec<ColourStanding> {
            store.colours(Some("shop")).await.unwrap().into_iter().map(|one| one.standing).collect()
        };
        store.begin_unswitch(row("shop", "in.place", ColourStanding::Leaving)).await.unwrap();
        store.unswitch_ends("shop", "ended").await.unwrap();
        assert_eq!(standings().await, [ColourStanding::Live, ColourStanding::Leaving]);
        assert_eq!(store.colours(Some("shop")).await.unwrap()[1].made, "ended");
        assert_eq!(store.colours(Some("shop")).await.unwrap()[0].made, "{}");
        store.forget_unswitch("shop").await.unwrap();
        assert_eq!(standings().await, [ColourStanding::Live]);

        let peeked = peek_colours(&file).unwrap().into_iter().map(|one| (one.project, one.standing));
        assert_eq!(
            peeked.collect::<Vec<_>>(),
            ["blueblog", "blueshop"].map(|of| (of.to_owned(), ColourStanding::Live))
        );
        let red = |repo: &str| (repo.to_owned(), "red".to_owned());
        assert_eq!(peek_staying(&file).unwrap(), [red("blog"), red("shop")].into());
        store.begin_unswitch(row("shop", "in.place", ColourStanding::Leaving)).await.unwrap();
        store.unswitched("shop").await.unwrap();
        assert_eq!(standings().await, []);
        assert_eq!(store.switch("shop").await.unwrap(), None);
        let ports: Vec<String> = store.loopback_ports().await.unwrap().into_iter().map(|one| one.repo).collect();
        assert_eq!(ports, ["blog"]);
        assert!(store.switch("blog").await.unwrap().is_some());
        assert_eq!(store.colours(Some("blog")).await.unwrap().len(), 1);
    }
}
