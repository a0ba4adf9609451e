//! Parse, dispatch, exit code.

use clap::Parser as _;
use std::{io, process::ExitCode};
use twtrace::{cli, memory, run, stderr};

fn main() -> ExitCode {
    memory::keep_what_is_used_again();
    let cli = cli::Cli::parse();
    stderr::listen(match &cli.command {
        cli::Command::Watch(args) => args.tracing.verbose,
        cli::Command::Record(args) => args.tracing.verbose,
        cli::Command::Expect(args) => args.tracing.verbose,
        _ => false,
    });
    let done = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    };
    let result = match cli.command {
        cli::Command::Watch(args) => run::watch(&args),
        cli::Command::Record(args) => run::record(&args),
        cli::Command::Report(args) => run::report(&args),
        cli::Command::States(args) => run::states(*args),
        cli::Command::Export(args) => match args.format() {
            Ok(format) => run::export(&args, format),
            Err(usage) => usage.exit(),
        },
        cli::Command::Expect(args) => run::expect(&args),
        cli::Command::Doctor(args) => run::doctor(&args),
        cli::Command::Completions { shell } => done(cli::completions(shell, &mut io::stdout().lock())),
        cli::Command::Man => done(cli::man(&mut io::stdout().lock())),
    };
    result.unwrap_or_else(|error| {
        stderr::fail(&error);
        ExitCode::FAILURE
    })
}
