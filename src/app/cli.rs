//! The command line.

use crate::delivery::State;
use crate::event::Verb;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Row changes in PostgreSQL become webhooks: in order per entry, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "walhook", version, max_term_width = 100, subcommand_required = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", env = "WALHOOK_CONFIG", default_value = "walhook.toml")]
    pub config: PathBuf,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// How the log is written; by default human on a terminal and JSON elsewhere
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the log and deliver webhooks, until told to stop
    Run(Run),
    /// Show everything on a throwaway PostgreSQL: a small help desk, live changes, webhooks arriving
    Demo(Demo),
    /// Read a database's catalogue and write the configuration that it proposes
    Init(Init),
    /// Look for everything that is wrong, each finding with what mends it
    Check,
    /// Print what the database needs for walhook, or do it
    Setup(Setup),
    /// Print what removes walhook from the database, or do it
    Teardown(Teardown),
    /// Go on after a gap in the log that you accept
    Resume(Resume),
    /// Judge a condition: one event, a file of cases, or what was captured last
    Condition(Condition),
    /// See, replay and drop deliveries
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// See, register, change, try, switch and delete webhooks
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Look after the queue's file
    #[command(subcommand)]
    Queue(Queue),
    /// Print the documented example, the effective configuration, or its JSON schema
    #[command(subcommand)]
    Config(Config),
    /// Make the hash of a password, for a user of the HTTP surface
    Password,
    /// Make a token and its hash, for a program that uses the HTTP surface
    Token,
    /// Make keys that seal secrets
    #[command(subcommand)]
    Key(Key),
    /// Seal a secret of a registered webhook, read from standard input, for use in SQL
    Seal(Seal),
}

/// `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Start at the position of a slot that exists already and that this queue does not know
    #[arg(long)]
    pub adopt_slot: bool,
}

/// `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave everything running to play with, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Use this database instead of a throwaway server; a schema of its own is created and removed there
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

/// `init`.
#[derive(Args, Debug)]
pub struct Init {
    /// The address of the database, as for psql; by default the PG* variables say it
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// The product that the database belongs to: walhook knows its forms, or reads them from its data dictionary
    #[arg(long, value_name = "PRODUCT")]
    pub preset: Option<Preset>,
    /// Look at this schema alone; can be given several times
    #[arg(long, value_name = "NAME")]
    pub schema: Vec<String>,
    /// Add a webhook that tells this URL of everything
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Ask nothing, take everything
    #[arg(long)]
    pub yes: bool,
    /// Print the configuration instead of writing it
    #[arg(long)]
    pub stdout: bool,
    /// Overwrite the configuration that is there
    #[arg(long)]
    pub force: bool,
}

/// A product that walhook knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// BMC Remedy AR System: forms, fields with their numbers, and selections, from its data dictionary.
    Arsystem,
    /// Zammad: tickets with articles, users and organizations.
    Zammad,
    /// Znuny, and OTRS 6: tickets with articles.
    Znuny,
}

/// `setup`.
#[derive(Args, Debug)]
pub struct Setup {
    /// Do it, instead of printing it
    #[arg(long)]
    pub apply: bool,
    /// Print one SQL file with everything that is missing, the role too, for the database's administrator to execute;
    /// any role that may log in can ask for it (--database-url)
    #[arg(long, value_name = "WHOM", conflicts_with = "apply")]
    pub sql_for: Option<Whom>,
    /// The role that walhook will log in as; by default that of the configuration's address
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Also create that role if there is none
    #[arg(long)]
    pub create_role: bool,
    /// Also set REPLICA IDENTITY FULL on the tables of these forms, so that old values are in the log; this
    /// alters the application's tables and makes their updates and deletes write more WAL
    #[arg(long, value_name = "FORM", num_args = 1..)]
    pub replica_identity_full: Vec<String>,
    /// Also make the table that webhooks are registered in while walhook runs, in a schema of its own
    #[arg(long)]
    pub registration: bool,
    /// Also let this role register webhooks there
    #[arg(long, value_name = "ROLE")]
    pub registrar: Option<String>,
    /// Log in with this address instead of the configuration's, as a role that may do more
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

/// Who executes a file of statements.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Whom {
    /// The database's administrator
    Dba,
}

/// `teardown`.
#[derive(Args, Debug)]
pub struct Teardown {
    /// Do it, instead of printing it
    #[arg(long)]
    pub apply: bool,
    /// The role that walhook logs in as; by default that of the configuration's address
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Also drop that role
    #[arg(long)]
    pub drop_role: bool,
    /// Log in with this address instead of the configuration's, as a role that may do more
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

/// `resume`.
#[derive(Args, Debug)]
pub struct Resume {
    /// Accept that the changes in the gap are not delivered
    #[arg(long, required = true)]
    pub accept_gap: bool,
}

/// `condition`.
#[derive(Args, Debug)]
#[command(
    override_usage = "walhook condition TEXT --form FORM [--event EVENT] [--new JSON] [--old JSON]\n       \
                      walhook condition TEXT --columns NAME:TYPE,… [--event EVENT] [--new JSON] [--old JSON]\n       \
                      walhook condition --test FILE…\n       \
                      walhook condition --sample COUNT (--webhook WEBHOOK | TEXT --form FORM)",
    after_help = "Prints true, false or unknown. Only true delivers.\n\n\
                  Exit codes: 0 true, or all cases are as expected; 1 false, unknown or not to be judged (the event \
                  would be held), or some case is not; 64 the condition is refused, or bad usage; 69 the database \
                  or the queue cannot be reached.\n\n\
                  docs/conditions.md describes the language and the files of cases."
)]
pub struct Condition {
    /// The condition; - reads it from standard input
    #[arg(value_name = "TEXT", conflicts_with = "test")]
    pub text: Option<String>,
    /// The form of the configuration that it is about; its columns' types come from the database
    #[arg(long, value_name = "FORM", conflicts_with = "test")]
    pub form: Option<String>,
    /// The condition of this webhook of the configuration, by name or number
    #[arg(long, value_name = "WEBHOOK", conflicts_with_all = ["text", "test"])]
    pub webhook: Option<String>,
    /// The columns, for a try without configuration and database: PostgreSQL's types, and enum(New|Assigned|Closed)
    /// for a selection (enum(0=New|5=Closed) where numbers stand in the column); the first column is the key; names
    /// with commas or colons in double quotes
    #[arg(long, value_name = "NAME:TYPE,…", conflicts_with_all = ["test", "webhook", "sample"])]
    pub columns: Option<String>,
    /// What happened to the entry: create, update, merge, delete, or a word of the form's own (status-changed); absent,
    /// update, and with --sample anything
    #[arg(long, value_name = "EVENT", conflicts_with = "test", value_parser = verbs())]
    pub event: Option<Verb>,
    /// The row after, as a JSON object by field; what it does not have is NULL
    #[arg(long, value_name = "JSON", conflicts_with_all = ["test", "sample"])]
    pub new: Option<String>,
    /// The row before; absent, it is not known
    #[arg(long, value_name = "JSON", conflicts_with_all = ["test", "sample"])]
    pub old: Option<String>,
    /// Who did it, for $USER$
    #[arg(long, value_name = "NAME", conflicts_with_all = ["test", "sample"])]
    pub user: Option<String>,
    /// When it was committed, for $TIMESTAMP$ and the like: 2026-11-22T05:00:00Z; absent, now
    #[arg(long, value_name = "TIME", conflicts_with = "sample")]
    pub now: Option<String>,
    /// Show each comparison with its verdict
    #[arg(long, conflicts_with_all = ["test", "sample"])]
    pub explain: bool,
    /// Judge the cases of these files, without database and configuration, and show those that are not as expected
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub test: Vec<PathBuf>,
    /// Judge the events that were captured last; only those that some webhook wanted are in the queue, and only with
    /// the fields that a webhook's bodies have
    #[arg(long, value_name = "COUNT", conflicts_with = "test", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub sample: Option<u32>,
}

/// `deliveries`.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List deliveries, newest first
    List(List),
    /// Show one delivery with its body and all its attempts
    Show(Show),
    /// Follow deliveries: a line for each that comes, and whenever something has become of one
    Tail(Tail),
    /// Send dead letters again, in commit order
    Replay(Choice),
    /// Give deliveries up: dead ones, and those that are not finished
    Drop(Choice),
    /// Remove all that is kept of an entry: bodies, answers, held events
    Purge(Purge),
}

/// `deliveries list`.
#[derive(Args, Debug)]
pub struct List {
    /// Which.
    #[command(flatten)]
    pub filter: Filter,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
}

/// `deliveries tail`.
#[derive(Args, Debug)]
pub struct Tail {
    /// Which.
    #[command(flatten)]
    pub filter: Filter,
    /// How many of those that are there already are shown first
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub last: u32,
}

/// `deliveries show`.
#[derive(Args, Debug)]
pub struct Show {
    /// The delivery: WEBHOOK/SEQUENCE with the webhook's number or name, or its webhook-id (msg_…)
    pub delivery: String,
}

/// `deliveries replay` and `deliveries drop`.
#[derive(Args, Debug)]
pub struct Choice {
    /// These deliveries: WEBHOOK/SEQUENCE with the webhook's number or name, or the webhook-id (msg_…)
    #[arg(conflicts_with_all = ["webhook", "state", "form", "entry", "since", "until", "all"])]
    pub deliveries: Vec<String>,
    /// Those that fit.
    #[command(flatten)]
    pub filter: Filter,
    /// All that can be
    #[arg(long, conflicts_with_all = ["webhook", "state", "form", "entry", "since", "until"])]
    pub all: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `deliveries purge`.
#[derive(Args, Debug)]
pub struct Purge {
    /// The entry
    #[arg(long, value_name = "ENTRY-ID")]
    pub entry: String,
    /// Its form, where entries of other forms have the same id
    #[arg(long, value_name = "FORM")]
    pub form: Option<String>,
    /// Give up what is not delivered yet, is dead or held
    #[arg(long)]
    pub drop_waiting: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Which deliveries are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only this webhook's, by number or name
    #[arg(long, value_name = "WEBHOOK")]
    pub webhook: Option<String>,
    /// Only those in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states())]
    pub state: Vec<State>,
    /// Only those of this form
    #[arg(long, value_name = "FORM")]
    pub form: Option<String>,
    /// Only those of this entry
    #[arg(long, value_name = "ENTRY-ID")]
    pub entry: Option<String>,
    /// Only those committed at or after: 2026-11-22, 2026-11-22T05:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those committed before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `webhooks`.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List the webhooks with their books
    List,
    /// Show everything that is known of one webhook
    Show {
        /// Its number or name
        webhook: String,
    },
    /// Register a webhook in the database
    Add(Add),
    /// Change some fields of a registered webhook
    Edit {
        /// Its number or name
        webhook: String,
        /// A file with the fields to change as JSON, null for the default; - is standard input
        file: PathBuf,
    },
    /// Serve a suspended or disabled webhook again
    Enable {
        /// Its number or name
        webhook: String,
    },
    /// Take no new changes for a registered webhook; what is queued waits
    Disable {
        /// Its number or name
        webhook: String,
    },
    /// Send one request to its endpoint, to try it
    Test {
        /// Its number or name
        webhook: String,
    },
    /// Delete a registered webhook, or the books of one that left the file, and drop what it had queued
    Delete {
        /// Its number or name
        webhook: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// `webhooks add`.
#[derive(Args, Debug)]
pub struct Add {
    /// A file with the registration as JSON, as the API takes it; - is standard input. Secrets come this way alone
    #[arg(conflicts_with_all = ["form", "event", "url", "name", "condition"])]
    pub file: Option<PathBuf>,
    /// The form it listens to
    #[arg(long, value_name = "FORM")]
    pub form: Option<String>,
    /// An event it listens to; may be said several times
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
    /// Where its deliveries go
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// What people call it
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Which of these events it wants
    #[arg(long, value_name = "CONDITION")]
    pub condition: Option<String>,
}

/// `queue`.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// Copy the queue to a new file, while walhook runs
    Backup {
        /// The new file
        path: PathBuf,
    },
    /// List row changes that could not become events and were put aside
    Quarantine,
    /// List events that are held because a condition could not be judged for them, oldest first
    Held(Held),
    /// Give up the events that are held for a webhook
    DropHeld {
        /// The webhook, by number or name
        #[arg(long, value_name = "WEBHOOK")]
        webhook: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// `queue held`.
#[derive(Args, Debug)]
pub struct Held {
    /// Only this webhook's, by number or name
    #[arg(long, value_name = "WEBHOOK")]
    pub webhook: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print the documented example: every key with its default
    Example,
    /// Print the configuration as it takes effect, secrets masked
    Show,
    /// Print a JSON schema of the file, for editors
    Schema,
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Print a new key
    New,
}

/// `seal`.
#[derive(Args, Debug)]
pub struct Seal {
    /// The webhook that it is for, by number
    #[arg(long, value_name = "ID")]
    pub webhook: u64,
    /// The field that it is for: authentication.password
    #[arg(long, value_name = "FIELD")]
    pub field: String,
}

fn verbs() -> impl TypedValueParser<Value = Verb> {
    NonEmptyStringValueParser::new().try_map(|word| word.parse::<Verb>())
}

fn states() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str)).map(|word| {
        let state = State::ALL.into_iter().find(|state| state.as_str() == word);
        state.expect("clap lets no other word through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_condition_is_judged_in_one_way_at_a_time() {
        let parse = |words: &[&str]| {
            Cli::try_parse_from(["walhook", "condition"].iter().chain(words))
                .map(|_| ())
                .map_err(|e| e.kind())
        };
        assert_eq!(parse(&["1 = 1", "--columns", "a:text", "--event", "delete", "--old", "{}"]), Ok(()));
        assert_eq!(parse(&["--test", "a.json", "b.json"]), Ok(()));
        assert_eq!(parse(&["--sample", "20", "--webhook", "pager"]), Ok(()));
        for wrong in
            [&["1 = 1", "--test", "a.json"][..], &["1 = 1", "--webhook", "pager"], &["x", "--sample", "0"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_choice_is_by_name_or_by_filter() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).map(|_| ());
        assert!(parse("walhook deliveries replay 7/1 7/2").is_ok());
        assert!(parse("walhook deliveries replay --webhook 7 --since 2h --state dead,blocking").is_ok());
        assert!(parse("walhook deliveries replay 7/1 --webhook 7").is_err());
        assert!(parse("walhook deliveries drop --all --form x").is_err());
        assert!(parse("walhook deliveries list --state sent").is_err());
        assert!(parse("walhook resume").is_err());
    }
}
