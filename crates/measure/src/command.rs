//! A command that says by its exit code how a colour does. It runs as the daemon's user, and gets no more than it is given: its own
//! process group, no input, an environment of a few words, a time, and a cap on what it says.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command as Program},
    time::timeout,
};

use crate::{Measured, quoted};

/// Most of what it says that is kept, of each of its two outputs.
const MOST: u64 = 64 << 10;
/// Where programs are looked for that it starts by their names.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What it has left open is waited for so long once it has ended.
const LEFT_OPEN: Duration = Duration::from_millis(200);

/// A program that is run again and again, and whose exit code says how the colour does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program with its path, and its arguments. No shell reads them.
    pub run: Vec<String>,
    /// Its environment, beside `PATH`.
    pub environment: Vec<(String, String)>,
    /// How long it may take.
    pub patience: Duration,
}

/// Ends a process group when it is dropped: what a command has started must not outlive the question.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may be over.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Command {
    /// Runs it once. Dropped before its end, it is killed with all of its group.
    pub async fn ask(&self) -> Measured {
        let Some((program, arguments)) = self.run.split_first() else {
            return Measured::Unknown("there is no command".to_owned());
        };
        let mut start = Program::new(program);
        start
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match start.spawn() {
            Ok(child) => child,
            Err(error) => return Measured::Unknown(format!("{program} cannot be started: {error}")),
        };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let group = Group(pid);
        let ended = timeout(self.patience, said(&mut child)).await;
        drop(group);
        // Nothing of it is left over as a zombie.
        let _ = child.wait().await;
        match ended {
            Err(_) => Measured::Unknown(format!("{program} was not done within {:.1} s", self.patience.as_secs_f64())),
            Ok(Err(error)) => Measured::Unknown(format!("{program}: {error}")),
            Ok(Ok((status, text))) => verdict(program, status, &text),
        }
    }
}

fn verdict(program: &str, status: ExitStatus, text: &str) -> Measured {
    let text = quoted(text);
    match status.code() {
        Some(0) => Measured::Good(if text.is_empty() { "exit code 0".to_owned() } else { text }),
        Some(code) if text.is_empty() => Measured::Bad(format!("exit code {code}")),
        Some(code) => Measured::Bad(format!("{text} (exit code {code})")),
        // It did not come to say anything.
        None => Measured::Unknown(format!("{program} was ended by a signal ({status})")),
    }
}

/// Waits for its end. Answers how it ended, and its last line that says something, of what it said as an error first.
async fn said(child: &mut Child) -> std::io::Result<(ExitStatus, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut out_text, mut err_text) = (Vec::new(), Vec::new());
    let status = {
        let reading = async {
            tokio::join!(read(out, &mut out_text), read(err, &mut err_text));
        };
        let mut reading = std::pin::pin!(reading);
        tokio::select! {
            status = child.wait() => {
                // What it has started may have its pipes still, and is not waited for.
                let _ = timeout(LEFT_OPEN, &mut reading).await;
                status?
            }
            () = &mut reading => child.wait().await?,
        }
    };
    let last = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    };
    let both = if status.success() { [&out_text, &err_text] } else { [&err_text, &out_text] };
    Ok((status, both.into_iter().find_map(|text| last(text)).unwrap_or_default()))
}

async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(mut from) = from {
        // Whatever came until then is what it has said. The rest is taken as well, for a closed pipe would end it.
        let _ = (&mut from).take(MOST).read_to_end(into).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: u64) -> Command {
        Command {
            run: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![("TURNOUT_COLOUR".to_owned(), "blue".to_owned())],
            patience: Duration::from_millis(patience),
        }
    }

    #[tokio::test]
    async fn its_exit_code_counts_and_its_words_are_quoted() {
        for (script, expected) in [
            ("echo all well", "good all well"),
            ("exit 0", "good exit code 0"),
            ("exit 3", "bad exit code 3"),
            ("echo fine; echo the queue grows >&2; exit 1", "bad the queue grows (exit code 1)"),
            ("printf 'one\\ntwo\\n\\n'; exit 9", "bad two (exit code 9)"),
            ("kill -9 $$", "not known /bin/sh was ended by a signal"),
            ("echo $TURNOUT_COLOUR $HOME $0", "good blue /bin/sh"),
            ("pwd", "good /"),
            ("cat; echo read", "good read"),
        ] {
            let found = shell(script, 20_000).ask().await;
            let found = format!("{} {}", found.word(), found.said());
            assert!(found.starts_with(expected), "{script}: {found}");
        }
        let nowhere = Command { run: vec!["/nowhere/at/all".to_owned()], ..shell("", 20_000) };
        assert!(matches!(nowhere.ask().await, Measured::Unknown(why) if why.contains("cannot be started")));
        // More than anybody reads.
        let found = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; exit 1", 20_000).ask().await;
        assert!(found.word() == "bad" && found.said().chars().count() < 400, "{found:?}");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let found = shell(&script, 3_000).ask().await;
        assert!(matches!(&found, Measured::Unknown(why) if why.contains("was not done within 3.0 s")), "{found:?}");
        gone(&file).await;
        // One that ends, and leaves something behind.
        let script = format!("sleep 1000 & echo $! > {}; echo done", file.display());
        let found = shell(&script, 20_000).ask().await;
        assert_eq!(found, Measured::Good("done".to_owned()));
        gone(&file).await;
    }

    /// Waits until the process whose number stands there has ended.
    async fn gone(file: &std::path::Path) {
        let pid = std::fs::read_to_string(file).unwrap();
        for _ in 0..2_000 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            // Whoever takes in orphans may not have done so yet.
            let dead = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z'));
            if state.map_or(true, dead) {
                return;
            }
            // Between two looks.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{pid} runs on");
    }
}
