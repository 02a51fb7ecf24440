//! `observer debug`: looks closely at some pods for a while, and says what it saw.

use std::io::Write;
use std::time::Duration;

use observer_proto::v1::{DebugPart, DebugRequest};

use super::Usage;
use super::options::{self, Connection, Output};
use super::selection::{Selection, pod_pattern};
use crate::client::{Session, write_json};

/// Flags of `observer debug`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pods that are looked at: namespace/prefix, namespace/, /name or prefix; or choose by --container, --label,
    /// --workload and the like
    #[arg(value_name = "POD", value_parser = pod_pattern)]
    pods: Vec<String>,
    /// How long, up to 1h; Ctrl-C ends it sooner
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = options::positive)]
    length: Duration,
    /// What is to be seen [default: all that can be]
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// End it where the programs in the kernel take more than so many percent of one processor
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent)]
    max_cpu: f64,
    /// See failed opens also where that makes every system call of the machine take longer: where the kernel does not let
    /// its functions be hooked
    #[arg(long)]
    failed_opens: bool,
    #[command(flatten)]
    selection: Selection<false>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// How long processes take to answer
    Responses,
    /// Packets that the kernel drops
    Drops,
    /// Signals that processes are sent
    Signals,
    /// Files that processes fail to open
    Opens,
}

fn percent(text: &str) -> Result<f64, &'static str> {
    let number =
        text.trim_end_matches('%').parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 100.0);
    number.ok_or("allowed are more than 0 and at most 100")
}

/// Opens a session and shows what it sees, until it ends or Ctrl-C.
pub(super) async fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let Args { pods, length, only, max_cpu, failed_opens, selection, output, connection } = args;
    let selection = selection.of_pods(&pods);
    if selection.allow.is_empty() {
        return Err(Usage(
            "which pods? A session looks at some containers closely, and not at all of them\n\
             Name a pod, as in `observer debug shop/cart`, or choose by --namespace, --label, --container or --workload."
                .to_owned(),
        )
        .into());
    }
    let part = |part: Part| match part {
        Part::Responses => DebugPart::Responses,
        Part::Drops => DebugPart::PacketDrops,
        Part::Signals => DebugPart::Signals,
        Part::Opens => DebugPart::OpenFailures,
    };
    let request = DebugRequest {
        allow: selection.allow,
        deny: selection.deny,
        duration: length.try_into().ok(),
        max_cpu_share: Some(max_cpu / 100.0),
        parts: only.into_iter().map(|one| part(one).into()).collect(),
        costly_open_failures: failed_opens,
    };
    if selection.print_filters {
        return Ok(write_json(out, "DebugRequest", &request)?);
    }
    let client = connection.connect().await?;
    let mut answers = client.debug(request).await?;
    let mut session = Session::new(&output.look());
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let mut idle = || Ok(());
        let message = tokio::select! {
            message = answers.next(&mut idle) => message?,
            ended = &mut interrupted => {
                ended?;
                break;
            }
        };
        match message {
            Some(Ok(message)) => session.write(out, message)?,
            Some(Err(error)) => {
                session.write_summary(out)?;
                return Err(error.into());
            }
            None => break,
        }
        // Somebody looks on.
        out.flush()?;
    }
    Ok(session.write_summary(out)?)
}
