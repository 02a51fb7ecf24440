//! Runs each example of the README against a daemon: what people try first works as it is written there.
#![allow(clippy::print_stdout, reason = "it tells what each example showed first")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use observer_tests::client::{observer, serving};
use observer_tests::guardian::Guardian;
use observer_tests::terminal::Terminal;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Testbed, eventually, shop};

/// What is done with an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Not the observer's: the project's own commands, which this test is run by.
    Project,
    /// It starts a daemon, which has to serve.
    Daemon,
    /// It writes pages into a folder.
    Man,
    /// Its words are for the shell.
    Source,
    /// It draws on a terminal until a key ends it.
    Terminal,
    /// It ends by itself.
    Ends,
    /// It goes on until it is ended.
    Follows,
}

/// Everything that the README tells to enter, but for comments.
fn examples() -> Result<Vec<String>> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let blocks = readme.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" # ").next().unwrap_or(line).trim());
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

fn kind(line: &str) -> Result<Kind> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let has = |flags: &[&str]| words.iter().any(|word| flags.contains(word));
    Ok(match words.as_slice() {
        ["cargo", "xtask" | "build", ..] | ["export", "PATH=$PWD/target/release:$PATH"] => Kind::Project,
        ["source", ..] => Kind::Source,
        ["observer", "daemon", ..] => Kind::Daemon,
        ["observer", "man", ..] => Kind::Man,
        ["observer", "top", ..] => Kind::Terminal,
        ["observer", "follow" | "debug", ..] => Kind::Follows,
        ["observer", "events" | "summary", ..] if has(&["-f", "--follow"]) => Kind::Follows,
        ["observer", "incident", "export" | "list" | "open" | "show", ..]
        | [
            "observer",
            "doctor" | "events" | "summary" | "connections" | "explain" | "workloads" | "status"
            | "completion",
            ..,
        ] => Kind::Ends,
        _ => bail!("say in this test how to run: {line}"),
    })
}

/// Whether it may have nothing to show: what it asks for does not happen here.
fn may_be_silent(line: &str) -> bool {
    ["--min-latency", "--until", "--label", "-l ", "select(", " > "].iter().any(|part| line.contains(part))
}

/// A folder to be in, a program called `observer`, and a daemon to ask.
struct Shell {
    folder: PathBuf,
    server: String,
}

impl Shell {
    fn new(daemon: &Daemon) -> Result<Self> {
        let folder = Guardian::shared()?.scratch("readme")?;
        symlink(fs::canonicalize(observer()?)?, folder.join("observer"))?;
        Ok(Self { folder, server: format!("unix://{}", daemon.socket().display()) })
    }

    /// A command line for the shell that people have.
    fn command(&self, line: &str) -> Result<Command> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        Guardian::shared()?.mark(&mut command).args(["-c", line]).current_dir(&self.folder);
        command.env("PATH", format!("{}:{path}", self.folder.display())).env("OBSERVER_SERVER", &self.server);
        // Nor are this user's own settings.
        command
            .env("XDG_CONFIG_HOME", &self.folder)
            .env_remove("OBSERVER_CLIENT_CONFIG")
            .env_remove("OBSERVER_CONTEXT");
        // A cluster that this machine happens to lead to is not for tests.
        command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        Ok(command)
    }

    /// Runs it to its end, with that to read. Gives what it wrote.
    fn output(&self, line: &str, input: Option<&Path>) -> Result<String> {
        let input = input.map_or_else(|| Ok(Stdio::null()), |path| fs::File::open(path).map(Stdio::from))?;
        let output = self.command(line)?.stdin(input).output()?;
        let (out, error) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && error.is_empty(), "{line}: {}: {out}{error}", output.status);
        ensure!(!out.is_empty() || may_be_silent(line), "{line} wrote nothing");
        Ok(out)
    }

    /// Runs it until it has shown something, or is served without anything to show.
    async fn first_output(
        &self,
        line: &str,
        subscribers: impl AsyncFn() -> Result<u32>,
    ) -> Result<Vec<String>> {
        // The one before is let go within a second.
        let nobody = async || {
            Ok(match subscribers().await? {
                0 => Ok(()),
                some => Err(some),
            })
        };
        eventually(PATIENCE, "the streams before to be gone", nobody).await?;
        let mut lines = Lines::spawn(line, self.command(&format!("exec {line}"))?)?;
        let written = eventually(PATIENCE, &format!("output of {line}"), async || {
            // That a stream has begun is no output yet.
            let json = lines.matching(|line| line.get("node_status").is_none());
            let written: Vec<String> =
                if json.is_empty() { lines.other() } else { json.iter().map(ToString::to_string).collect() };
            let is_served = may_be_silent(line) && subscribers().await? > 0;
            Ok(if !written.is_empty() || is_served { Ok(written) } else { Err(lines.account()) })
        })
        .await?;
        lines.stop().await?;
        ensure!(lines.stderr().is_empty(), "{line}: {}", lines.stderr());
        Ok(written)
    }
}

async fn daemon(shell: &Shell, line: &str) -> Result<()> {
    let socket = shell.folder.join("example.sock");
    let mut command = shell.command(&format!("exec {line}"))?;
    // The usual place may be another's.
    command.env("OBSERVER_LISTEN", format!("unix://{}", socket.display()));
    command.env("OBSERVER_RECORD_DIR", shell.folder.join("records"));
    let mut lines = Lines::spawn("the daemon of the README", command)?;
    let serves = async || Ok(serving(&socket).await.map_err(|error| (error.to_string(), lines.stderr())));
    eventually(PATIENCE, line, serves).await?;
    let ended = lines.stop().await?;
    ensure!(ended.success(), "{line}: {ended}: {}", lines.stderr());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_does_what_it_says() -> Result<()> {
    use observer_proto::v1::GetStatusRequest;
    use observer_proto::v1::observer_client::ObserverClient;

    let testbed = Testbed::shared().await?;
    let pods = shop::open(testbed).await?;
    let records = tempfile::tempdir()?;
    let recording = ["--record-dir", &records.path().to_string_lossy()];
    let running = Daemon::on(testbed).args(recording).start().await?;
    let shell = Shell::new(&running)?;
    let channel = running.channel().await?;
    let subscribers = async || {
        let mut client = ObserverClient::new(channel.clone());
        let status = client.get_status(GetStatusRequest {}).await?.into_inner().status;
        Ok(status.context("no status")?.subscribers)
    };
    let examples = examples()?;
    ensure!(examples.len() > 15, "{examples:#?}");
    for example in &examples {
        let (line, rest) = example.split_once(" | ").map_or((example.as_str(), None), |(a, b)| (a, Some(b)));
        let written = match kind(line)? {
            Kind::Project => continue,
            Kind::Daemon => {
                daemon(&shell, line).await?;
                continue;
            }
            Kind::Man => {
                let folder = shell.folder.join("man1");
                let target = line.split_whitespace().next_back().unwrap_or_default();
                fs::create_dir_all(&folder)?;
                let said = shell.command(&line.replace(target, &folder.display().to_string()))?.output()?;
                ensure!(said.status.success() && said.stderr.is_empty(), "{line}: {said:?}");
                ensure!(fs::read_dir(&folder)?.count() > 5, "{line} wrote few pages");
                continue;
            }
            Kind::Source => {
                let said = shell.output(&format!("{line} && complete -p observer"), None)?;
                ensure!(said.contains("observer"), "{line}: {said}");
                continue;
            }
            Kind::Terminal => {
                let mut terminal = Terminal::spawn(&shell.command(&format!("exec {line}"))?, (120, 40))?;
                terminal.shows("a pod", |screen| screen.contains("shop/cart")).await?;
                terminal.press("q")?;
                ensure!(terminal.wait().await?.success(), "{line}: {}", terminal.text());
                continue;
            }
            Kind::Ends => shell.output(line, None)?,
            Kind::Follows => shell.first_output(line, &subscribers).await?.join("\n"),
        };
        println!("$ {line}\n{}", written.lines().next().unwrap_or_default());
        if let Some(rest) = rest {
            let input = shell.folder.join("piped");
            fs::write(&input, written)?;
            shell.output(rest, Some(&input))?;
        }
    }
    for pod in pods {
        pod.remove().await?;
    }
    Ok(())
}
